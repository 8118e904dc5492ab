"""The ways in which an exec fails, as tables: what to exec, how, and the expected result."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.live import circumstances
from tests.live.exec_child import Attempt, Exec
from tests.live.expectation import Expected, File
from tests.live.zoo import Zoo

Setup = Callable[[Zoo], object]
Call = Callable[[Zoo], Exec]

MISSING: Final = b"/no/such/program"

HUGE: Final = b"h" * 100_000
"""A string that the kernel accepts and that is longer than what is recorded of one."""


@dataclass(frozen=True)
class Case:
    """One way to fail.

    Attributes:
        name: What the case is, for a reader.
        error: Name of the errno.
        call: Makes the exec's arguments, in the child.
        setup: Runs in the child before that.
        binary: Name of the file in the zoo, or its path below the caller's root; None if there is none.
        interpreter: Its interpreter: ``{zoo}`` and ``{loader}`` stand for what only a run knows.
        interpreter_in_use: The interpreter that the kernel was using, if it is known and a different one.
        unseen_by: Plans whose hooks do not see the failure.
        looked_at: The caller's descriptor of the file if it has no path.
        in_thread: The exec is made by another thread than the first.
        killed_by: The signal, after the point of no return.
        path_in_doubt: The record need not prove that the kernel had this path.
        path_afterwards: The path in the caller's memory afterwards, if it has changed.
    """

    name: str
    error: str
    call: Call
    setup: Setup = lambda zoo: None
    binary: str | None = None
    interpreter: str | None = None
    interpreter_in_use: str | None = None
    unseen_by: frozenset[str] = frozenset()
    looked_at: int | None = None
    in_thread: bool = False
    killed_by: str | None = None
    path_in_doubt: bool = False
    path_afterwards: str | None = None

    def prepare(self, zoo: Zoo) -> Callable[[], Exec]:
        """Prepare the exec in the child."""

        def prepare() -> Exec:
            self.setup(zoo)
            return self.call(zoo)

        return prepare

    def expected(self, zoo: Zoo, attempt: Attempt) -> Expected:
        """Return the expected record."""
        file = None
        if self.binary is not None:
            path = self.binary if self.binary.startswith("/") else zoo / self.binary
            process = f"/proc/{attempt.caller.pid}"
            if self.killed_by:
                file = File(path)
            elif self.looked_at is not None:
                file = File(path, f"{process}/fd/{self.looked_at}")
            else:
                file = File(path, f"{process}/root{path}")
        interpreter, in_use = (
            path and path.format(zoo=zoo.directory, loader=zoo.loader)
            for path in (self.interpreter, self.interpreter_in_use)
        )
        unread = self.killed_by is not None
        return Expected(
            self.error,
            file,
            interpreter,
            self.killed_by,
            unread=unread,
            in_use=in_use,
            path_in_doubt=self.path_in_doubt or self.in_thread or self.path_afterwards is not None,
            path_afterwards=self.path_afterwards,
        )


def named(name: str) -> Call:
    """Return an execve of a file in the zoo."""
    return lambda zoo: Exec(zoo.path(name))


def at(name: str, path: bytes, flags: int, open_flags: int = os.O_RDONLY) -> Call:
    """Return an execveat at a descriptor of a file in the zoo."""
    return lambda zoo: Exec(path, dirfd=os.open(zoo / name, open_flags), flags=flags)


def busy(zoo: Zoo) -> Exec:
    """Return an exec of a program that is open for writing."""
    os.open(zoo / "busy", os.O_WRONLY)
    return Exec(zoo.path("busy"))


def as_user(zoo: Zoo) -> None:
    """Make the exec as a caller that is not root."""
    circumstances.become_user()
