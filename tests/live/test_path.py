"""The path shown is the one that the kernel had, or it is marked as doubtful."""

from __future__ import annotations

import ctypes
import errno
import os
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from execwhy.bpf.events.record import ExecFailure
from execwhy.bpf.events.source import Capture
from execwhy.bpf.read.reader import KernelSource
from execwhy.tui.why.causes import diagnose
from tests.live import circumstances
from tests.live.cases import MISSING, Case
from tests.live.error_cases import ERRORS, FORGED
from tests.live.exec_child import (
    AT_EXECVE_CHECK,
    AT_FDCWD,
    EXECVE,
    EXECVEAT,
    Exec,
    Pointer,
    attempted,
    attempted_by,
    attempted_in_vfork,
    libc,
)
from tests.live.listener import PLAN, Listener, add_up
from tests.live.zoo import Zoo

REWRITTEN: Case = next(case for case in ERRORS if case.path_afterwards)


def record_of(listener: Listener, prepare: Callable[[], Exec]) -> ExecFailure:
    with attempted(prepare) as attempt:
        (record,) = listener.records_of(attempt.caller.pid, attempt.before)
    return record


def in_shared_memory() -> Exec:
    return Exec(Pointer(circumstances.shared_memory(MISSING), MISSING))


def beside_a_thread() -> Exec:
    threading.Thread(target=threading.Event().wait, daemon=True).start()
    return Exec(MISSING)


def in_a_file_of(owner: int, directory: Path) -> Callable[[], Exec]:
    """Have the path in a mapped file that nobody has touched."""

    def prepare() -> Exec:
        pointer = circumstances.untouched(str(directory), MISSING, owner)
        return Exec(Pointer(pointer.address, MISSING))

    return prepare


def test_a_path_that_was_rewritten_is_shown_as_the_kernel_had_it(zoo: Zoo, listener: Listener) -> None:
    with attempted(REWRITTEN.prepare(zoo)) as attempt:
        (record,) = listener.records_of(attempt.caller.pid, attempt.before)
        diagnosis = diagnose(record)
    assert record.path == zoo / "held-up"
    if record.path_source == "kernel":
        assert record.path_afterwards is None
        return
    assert record.path_afterwards == FORGED
    assert not record.path_is_proven
    assert not diagnosis.certain


@pytest.mark.parametrize("selects", [False, True])
def test_no_capture_leaves_a_rewritten_path_out(selects: bool, zoo: Zoo, listener: Listener) -> None:
    """The kernel's own copy of the path decides, not what is read from the caller."""
    has_copy = listener.plan != "tracepoint"
    chosen = Capture(
        paths=(zoo / "held-up" if has_copy else "/other",), path_prefixes=("/execwhy-caught-up/",)
    )
    listener.catch_up()
    before = listener.counters
    listener.source.set_capture(chosen if selects else Capture(excluded_paths=(FORGED,)))
    try:
        record = record_of(listener, REWRITTEN.prepare(zoo))
    finally:
        listener.source.set_capture(None)
    assert record.path == zoo / "held-up"
    assert listener.counters.suppressed == before.suppressed
    assert add_up(listener.counters)


@pytest.mark.parametrize("prepare", [in_shared_memory, beside_a_thread])
def test_a_path_in_memory_that_others_could_write_is_proven_only_by_the_kernels_copy(
    prepare: Callable[[], Exec], listener: Listener
) -> None:
    record = record_of(listener, prepare)
    assert record.path == os.fsdecode(MISSING)
    assert record.path_source == ("user" if listener.plan == "tracepoint" else "kernel")


@pytest.mark.parametrize(("owner", "proven"), [(0, True), (circumstances.USER, False)])
def test_a_path_mapped_from_a_file_is_proven_if_only_root_may_write_the_file(
    owner: int, proven: bool, tmp_path: Path, listener: Listener
) -> None:
    record = record_of(listener, in_a_file_of(owner, tmp_path))
    assert record.path == os.fsdecode(MISSING)
    assert record.path_is_proven == (proven or listener.plan != "tracepoint")


def test_the_parent_of_a_vfork_waits_and_changes_no_path(zoo: Zoo, listener: Listener) -> None:
    with attempted_in_vfork(zoo / "vforks", Exec(MISSING)) as attempt:
        (record,) = listener.records_of(attempt.caller.pid, attempt.before)
    assert record.path_is_proven


def test_nothing_kept_of_one_call_ends_up_in_the_next(zoo: Zoo, listener: Listener) -> None:
    """The path of the next call is at the same address."""

    def prepare() -> Exec:
        path = ctypes.create_string_buffer(zoo.path("succeeds"), 256)
        arguments = (ctypes.c_char_p * 2)(b"x", None)
        flags = ctypes.c_long(AT_EXECVE_CHECK)
        libc.syscall(ctypes.c_long(EXECVEAT), ctypes.c_long(-100), path, arguments, None, flags)
        path.value = MISSING
        kept.append(path)
        return Exec(Pointer(ctypes.addressof(path), MISSING))

    kept: list[object] = []
    with attempted(prepare) as attempt:
        record = listener.records_of(attempt.caller.pid, attempt.before)[-1]
    assert (record.path, record.path_afterwards) == (os.fsdecode(MISSING), None)
    assert record.path_is_proven


def test_a_passed_check_proves_nothing_about_an_error_that_is_injected_next(zoo: Zoo) -> None:
    """Before 6.14 the kernel refuses the check: then the failure of the check must leave nothing behind."""

    def prepare() -> Exec:
        circumstances.deny_exec_by_seccomp(EXECVE, errno.ENOENT)
        path = ctypes.create_string_buffer(zoo.path("succeeds"))
        arguments = (ctypes.c_char_p * 2)(b"x", None)
        flags = ctypes.c_long(AT_EXECVE_CHECK)
        passed = not libc.syscall(
            ctypes.c_long(EXECVEAT), ctypes.c_long(AT_FDCWD), path, arguments, None, flags
        )
        if passed != (circumstances.KERNEL_RELEASE >= (6, 14)):
            raise OSError(ctypes.get_errno(), f"a check has {'passed' if passed else 'failed'}")
        kept.append(path)
        return Exec(Pointer(ctypes.addressof(path), path.value))

    kept: list[object] = []
    with closing(KernelSource(plan=PLAN, all_failures=True)) as source:
        listener = Listener(source)
        listener.start()
        with attempted(prepare) as attempt:
            assert attempt.error == "ENOENT"
            record = listener.records_of(attempt.caller.pid, attempt.before)[-1]
            diagnosis = diagnose(record)
    assert (record.error, record.path) == ("ENOENT", zoo / "succeeds")
    assert record.path_source == "user"
    assert record.binary is None or record.binary.source != "kernel"
    assert not diagnosis.certain


def test_a_32_bit_call_has_no_path_of_an_earlier_call(zoo: Zoo, listener: Listener) -> None:
    with attempted_by(zoo / "int80-64", Exec(MISSING)) as attempt:
        (record,) = listener.records_of(attempt.caller.pid, attempt.before)
    assert (record.path, record.path_afterwards) == (os.fsdecode(MISSING), None)
    assert record.path_source == ("user" if listener.plan == "tracepoint" else "kernel")
