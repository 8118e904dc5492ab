"""The nice value of the session that the program runs in, where the kernel groups processes by session."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.live.command import COMMAND, PLAIN
from tests.live.exec_child import PATIENCE
from tests.live.test_privileges import NOBODY, children_of, name_of
from tests.pty.terminal import Terminal

AUTOGROUP = "/proc/self/autogroup"
FORMER = 3

SHELL = (
    "import subprocess, sys\n"
    f"open('{AUTOGROUP}', 'w').write('{FORMER}')\n"
    "subprocess.run(sys.argv[1:])\n"
    f"print('afterwards', open('{AUTOGROUP}').read(), flush=True)\n"
)
"""Stays in the session longer than the program, like a shell."""

pytestmark = pytest.mark.skipif(
    not os.path.exists(AUTOGROUP), reason="this kernel does not group processes by session"
)


def session_value(pid: int) -> int:
    found = re.search(r" nice (-?\d+)", Path(f"/proc/{pid}/autogroup").read_text())
    assert found is not None
    return int(found[1])


@contextmanager
def in_a_shell(*options: str) -> Iterator[tuple[Terminal, int]]:
    """Run the program in a session of a nice value of its own; its terminal and its pid."""
    environment = PLAIN | {"SUDO_UID": str(NOBODY.pw_uid), "SUDO_GID": str(NOBODY.pw_gid)}
    terminal = Terminal("-c", SHELL, *COMMAND, *options, size=(100, 30), environment=environment)
    try:
        terminal.wait_for_text('"plan"' if options else "live")
        (pid,) = children_of(terminal.pid)
        yield terminal, pid
        terminal.wait_for_text(f"nice {FORMER}")
        assert terminal.status() == 0
    finally:
        for number in (*children_of(terminal.pid), terminal.pid) if is_there(terminal.pid) else ():
            os.kill(number, signal.SIGKILL)


def is_there(pid: int) -> bool:
    return os.path.exists(f"/proc/{pid}/task")


def assert_goes_first(pid: int) -> None:
    assert session_value(pid) == -5
    (parent,) = (child for child in children_of(pid) if name_of(child) == "execwhy-lookers")
    assert session_value(parent) == -5
    assert os.getsid(parent) != os.getsid(pid)


def test_the_session_has_priority_until_q_is_typed() -> None:
    with in_a_shell() as (terminal, pid):
        assert_goes_first(pid)
        terminal.type("q")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_the_session_has_priority_until_a_signal_ends_the_program(number: signal.Signals) -> None:
    with in_a_shell() as (_, pid):
        assert_goes_first(pid)
        os.kill(pid, number)


def test_the_session_of_a_stopped_program_loses_priority_if_it_can_get_it_back() -> None:
    with in_a_shell() as (terminal, pid):
        limit = limit_of_nice(pid)
        os.kill(pid, signal.SIGTSTP)
        wait_until_stopped(pid)
        assert session_value(pid) == (FORMER if limit >= 25 else -5)
        os.kill(pid, signal.SIGCONT)
        wait_for_value(pid, -5)
        terminal.type("q")


def limit_of_nice(pid: int) -> int:
    found = re.search(r"^Max nice priority\s+(\d+)", Path(f"/proc/{pid}/limits").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


def wait_until_stopped(pid: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while "\nState:\tT" not in Path(f"/proc/{pid}/status").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def wait_for_value(pid: int, value: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while session_value(pid) != value:
        assert time.monotonic() < deadline, f"it is {session_value(pid)}"
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_session_of_a_recording_has_priority_until_it_ends(number: signal.Signals) -> None:
    with in_a_shell("--record", "-") as (_, pid):
        assert_goes_first(pid)
        os.kill(pid, number)
