"""Nobody can make a wrong cause appear certain."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import pytest

from execwhy.bpf.events.record import ExecFailure
from execwhy.tui.why.causes import diagnose
from execwhy.tui.why.scene.moment import CLOCK_STEP
from tests.live import circumstances
from tests.live.exec_child import EXECVE, Exec, attempted, libc
from tests.live.listener import Listener
from tests.live.swapped_mounts import SITUATIONS, TRUE
from tests.live.why_cases import FORGOTTEN
from tests.live.zoo import Zoo
from tests.settled import SETTLED

_CLONE_NEWNS: Final = 0x20000
_CLONE_NEWUSER: Final = 0x10000000
_MS_BIND: Final = 0x1000
_MS_PRIVATE_ALL: Final = 0x4000 | 1 << 18

ERRNOS: Final = (
    errno.E2BIG, errno.EACCES, errno.EAGAIN, errno.EBADF, errno.EFAULT, errno.EINVAL, errno.EIO, errno.EISDIR,
    errno.ELIBBAD, errno.ELOOP, errno.EMFILE, errno.ENAMETOOLONG, errno.ENFILE, errno.ENOENT, errno.ENOEXEC,
    errno.ENOMEM, errno.ENOSYS, errno.ENOTDIR, errno.EPERM, errno.ETXTBSY,
)  # fmt: skip


def the_record(listener: Listener, pid: int, before: int) -> ExecFailure:
    (record,) = listener.records_of(pid, before)
    return record


@pytest.mark.parametrize("error", ERRNOS, ids=[errno.errorcode[number] for number in ERRNOS])
def test_an_error_that_a_filter_makes_is_never_certain(error: int, zoo: Zoo, listener: Listener) -> None:
    def in_child() -> Exec:
        circumstances.deny_exec_by_seccomp(EXECVE, error)
        time.sleep(SETTLED)
        return Exec(zoo.path("succeeds"))

    with attempted(in_child) as attempt:
        assert attempt.error == errno.errorcode[error]
        record = the_record(listener, attempt.caller.pid, attempt.before)
        alive = diagnose(record)
    gone = diagnose(record)
    assert not alive.certain, alive
    assert not gone.certain, gone


@pytest.mark.parametrize("user", [True, False], ids=["a user's", "root's"])
def test_a_mount_removed_in_a_namespace_of_its_own_leaves_doubt(
    user: bool, zoo: Zoo, listener: Listener
) -> None:
    hidden, shown = Path(zoo / f"hidden-{user}"), Path(zoo / f"shown-{user}")
    for directory in (hidden, shown):
        directory.mkdir()
    (shown / "job").write_text("#!/no/such/interpreter\n")
    (shown / "job").chmod(0o755)

    def in_child() -> Exec:
        time.sleep(FORGOTTEN)
        if user:
            circumstances.become_user()
        circumstances.checked(libc.unshare(_CLONE_NEWNS | (_CLONE_NEWUSER if user else 0)))
        circumstances.checked(libc.mount(b"none", b"/", None, _MS_PRIVATE_ALL, None))
        circumstances.checked(libc.mount(os.fsencode(shown), os.fsencode(hidden), None, _MS_BIND, None))
        time.sleep(SETTLED)
        return Exec(os.fsencode(hidden / "job"))

    with attempted(in_child) as attempt:
        assert attempt.error == "ENOENT"
        record = the_record(listener, attempt.caller.pid, attempt.before)
        subprocess.run(["nsenter", "-t", str(attempt.caller.pid), "-m", "umount", hidden], check=True)
        diagnosis = diagnose(record)
    assert diagnosis.code in ("missing-file", "vanished-since")
    assert not diagnosis.certain, diagnosis


@pytest.mark.parametrize("exchanged", [False, True], ids=["left alone", "exchanged"])
def test_a_file_replaced_while_its_exec_is_delayed_leaves_doubt(
    exchanged: bool, zoo: Zoo, listener: Listener
) -> None:
    script, other = Path(zoo / f"held-up-{exchanged}"), Path(zoo / f"instead-{exchanged}")
    for path, interpreter in ((script, "/no/such/interpreter"), (other, "/no/other/interpreter")):
        path.write_text(f"#!{interpreter}\n")
        path.chmod(0o755)

    def exchange() -> None:
        if exchanged:
            other.rename(script)
        # By its ctime, the content now dates from before the exec returns.
        time.sleep(2 * SETTLED)

    def in_child() -> Exec:
        time.sleep(SETTLED)
        circumstances.hold_up(str(script), exchange)
        return Exec(os.fsencode(script))

    with attempted(in_child) as attempt:
        assert attempt.error == "ENOENT"
        record = the_record(listener, attempt.caller.pid, attempt.before)
        diagnosis = diagnose(record)
    assert record.duration_ms is not None
    assert record.duration_ms >= 1000 * SETTLED
    assert diagnosis.certain is not exchanged, diagnosis


def test_the_duration_of_an_exec_is_recorded(zoo: Zoo, listener: Listener) -> None:
    with attempted(lambda: Exec(zoo.path("not-executable"))) as attempt:
        record = the_record(listener, attempt.caller.pid, attempt.before)
    assert record.duration_ms is not None
    assert 0 < record.duration_ms <= (attempt.after - attempt.before + CLOCK_STEP) / 1e6


def test_a_user_in_a_mount_namespace_that_root_made_has_certain_causes(zoo: Zoo, listener: Listener) -> None:
    def in_child() -> Exec:
        time.sleep(FORGOTTEN)
        circumstances.checked(libc.unshare(_CLONE_NEWNS))
        circumstances.become_user()
        time.sleep(SETTLED)
        return Exec(zoo.path("not-executable"))

    with attempted(in_child) as attempt:
        diagnosis = diagnose(the_record(listener, attempt.caller.pid, attempt.before))
    assert (diagnosis.code, diagnosis.certain) == ("no-execute-permission", True), diagnosis


@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_mount_of_our_own_namespace_or_the_hosts_is_known_to_be_what_it_was(situation: str) -> None:
    command = ["unshare", "--mount", "--propagation", "private", sys.executable, "-m"]
    done = subprocess.run(
        [*command, "tests.live.swapped_mounts", situation], check=True, capture_output=True, text=True
    )
    code, certain = done.stdout.split()
    if situation in TRUE:
        assert (code, certain) == (TRUE[situation], "True")
    else:
        assert certain == "False"
