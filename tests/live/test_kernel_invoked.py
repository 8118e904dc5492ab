"""Execs by the kernel itself: a missing core dump handler, and execs that are not by the kernel."""

from __future__ import annotations

import uuid

from execwhy.bpf.events.record import ExecFailure
from tests.live.kernel_calls import crash, dumping_to
from tests.live.listener import Listener

SEES_NO_EXEC_OF_THE_KERNEL = "tracepoint"
"""The plan that has no hook there."""


def records_of(listener: Listener, path: str) -> list[ExecFailure]:
    listener.catch_up()
    return [failure for failure in listener.failures if failure.path == path]


def test_a_missing_core_dump_handler_is_an_exec_by_the_kernel(listener: Listener) -> None:
    handler = f"/no/{uuid.uuid4()}"
    with dumping_to(handler):
        pid = crash()
    records = records_of(listener, handler)
    if listener.plan == SEES_NO_EXEC_OF_THE_KERNEL:
        assert records == []
        return
    (record,) = records
    assert record.kernel_invoked
    assert (record.error, record.syscall, record.dirfd) == ("ENOENT", None, None)
    assert record.arguments == (handler, str(pid), "two")
    assert (record.arguments_source, record.truncated.argc) == ("kernel", 3)
    assert record.parent_comm in ("kthreadd", "kworker") or record.parent_comm.startswith("kworker/")
    assert (record.uid, record.euid) == (0, 0)


def test_an_exec_by_a_core_dump_handler_is_not_one_by_the_kernel(listener: Listener) -> None:
    wanted = f"/no/{uuid.uuid4()}"
    # The kernel looks for it in the root of the initial mount namespace, where we may have no file.
    handler = "/usr/bin/env"
    with dumping_to(f"{handler} {wanted}"):
        crash()
    listener.until(lambda: bool(records_of(listener, wanted)), "the handler's own exec")
    (record,) = records_of(listener, wanted)
    assert not record.kernel_invoked
    assert (record.syscall, record.error) == ("execve", "ENOENT")
    assert records_of(listener, handler) == []
