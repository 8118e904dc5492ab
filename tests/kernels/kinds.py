"""Every kind of failure under one plan, and what is wrong with its record.

The kinds and the expected records are those of the live tests; strace watches the same execs.
"""

from __future__ import annotations

import ctypes
import errno
import os
import tempfile
import time
import traceback
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from execwhy.bpf.events.record import ExecFailure
from tests.kernels.facts import facts, reached
from tests.kernels.tables import SEARCHERS, Tables
from tests.live.caller_cases import CALLERS
from tests.live.cases import MISSING, Case
from tests.live.circumstances import KERNEL_RELEASE
from tests.live.compat_cases import COMPAT_CALLS, COMPAT_PROGRAMS
from tests.live.error_cases import ERRORS
from tests.live.exec_child import EXECVE, Attempt, Exec, attempted, attempted_by, attempted_in_vfork, libc
from tests.live.expectation import COMPARED, Expected, File, compare, compare_fields
from tests.live.kernel_calls import crash, dumping_to, looking_for_modules_with
from tests.live.listener import Listener, add_up
from tests.live.strace import assert_same, witness
from tests.live.string_cases import STRINGS
from tests.live.zoo import Zoo

X32_EXECVE: Final = 0x40000000 | 520
_LEAVING: Final = 20.0
"""Seconds within which an exec that nobody waits for must have ended."""
_UNSEEN_BY_FENTRY: Final = "fentry"
_OF_STRINGS: Final = frozenset(
    (
        "400 arguments",
        "argv NULL",
        "empty strings",
        "one huge argument",
        "every byte",
        "argv that nobody has touched",
        "path of 4,096 bytes",
    )
)
_OF_CALLERS: Final = frozenset(
    (
        "thread",
        "thread with a file",
        "another user",
        "stdin pipe",
        "stdin closed",
        "deleted working directory",
        "chroot, relative path",
        "pid namespace",
    )
)
_OF_COMPAT: Final = ("execve", "execveat", "execveat, stdin itself")
_LATE_IN_THREAD: Final = replace(
    next(case for case in ERRORS if case.killed_by),
    name="after the point of no return, thread",
    in_thread=True,
)

CASES: Final = [
    *ERRORS,
    *(case for case in STRINGS if case.name in _OF_STRINGS),
    *(case for case in CALLERS if case.name in _OF_CALLERS),
    _LATE_IN_THREAD,
]

KINDS: Final = (
    *(case.name for case in CASES),
    *(f"{program}: {name}" for program in COMPAT_PROGRAMS for name in _OF_COMPAT),
    "vfork child",
    "x32",
    "core dump handler that is missing",
    "modprobe that is missing",
    "counters",
    "nothing is left",
)
"""Kinds that have a verdict under each plan."""


Found = dict[str, str]
"""Problems of a record by the name of the fact; "" if it is right."""


@dataclass
class Verdict:
    """The result of one kind.

    Attributes:
        kind: Its name.
        problem: What is wrong, or "".
        facts: How many facts were compared.
        right: How many of them are right.
        seconds: How long it took.
    """

    kind: str
    problem: str = ""
    facts: int = 0
    right: int = 0
    seconds: float = 0.0


def judged(kind: str, test: Callable[[], Found]) -> Verdict:
    """Return the verdict of a test, which returns the facts that it checked, or raises."""
    began = time.monotonic()
    try:
        found = test()
        wrong = {name: problem for name, problem in found.items() if problem}
        verdict = Verdict(kind, str(wrong)[:2000] if wrong else "", len(found), len(found) - len(wrong))
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        problem = f"{type(error).__name__}: {error} ({place.name}: {place.line})"
        # Without a record, none of its facts is right.
        verdict = Verdict(kind, problem[:2000], len(COMPARED))
    verdict.seconds = round(time.monotonic() - began, 2)
    return verdict


class Run:
    """All kinds under one plan."""

    def __init__(self, plan: str, zoo: Zoo, listener: Listener, tables: Tables, *, witnessed: bool) -> None:
        """Prepare.

        Args:
            plan: Its name.
            zoo: The files.
            listener: The live listener of the plan.
            tables: Those that the plan has in the kernel.
            witnessed: Whether strace watches too. What it sees of an attempt does not depend on the plan.
        """
        self._plan = plan
        self._zoo = zoo
        self._listener = listener
        self._tables = tables
        self._witnessed = witnessed

    def verdicts(self) -> Iterator[Verdict]:
        """Yield the verdict of each kind."""
        for kind, test in self._kinds().items():
            verdict = judged(kind, test)
            # If the guest does not finish, this shows how far it got.
            print(self._plan, kind, verdict.seconds, verdict.problem[:200], flush=True)
            yield verdict

    def _kinds(self) -> dict[str, Callable[[], Found]]:
        tests: dict[str, Callable[[], Found]] = {case.name: partial(self._case, case) for case in CASES}
        for program in COMPAT_PROGRAMS:
            for name in _OF_COMPAT:
                tests[f"{program}: {name}"] = partial(self._compat, program, name)
        return tests | {
            "vfork child": self._vfork,
            "x32": self._x32,
            "core dump handler that is missing": self._core,
            "modprobe that is missing": self._modprobe,
            "counters": self._counters,
            "nothing is left": self._nothing_is_left,
        }

    # ---- the kinds ----

    def _case(self, case: Case) -> Found:
        with ExitStack() as stack:
            strace = None
            # strace reads untouched pages, which the kernel program can then read too.
            # It loses the call of a thread that is killed by its exec, since the tid has changed by then.
            if self._witnessed and "touched" not in case.name and case is not _LATE_IN_THREAD:
                strace = stack.enter_context(witness(f"{tempfile.gettempdir()}/{uuid.uuid4()}"))
            with attempted(
                case.prepare(self._zoo), in_thread=case.in_thread, meanwhile=strace.attach if strace else None
            ) as attempt:
                records = self._listener.records_of(attempt.caller.pid, attempt.before)
                if self._plan in case.unseen_by:
                    assert records == [], "this plan's hooks do not see it"
                    return {}
                assert len(records) == 1, f"{len(records)} records"
                found = compare(records[0], attempt, self._expected(case, attempt))
            if strace:
                (seen,) = strace.seen()
                assert_same(records[0], seen)
        return found | self._can_be_had(records[0], case)

    def _expected(self, case: Case, attempt: Attempt) -> Expected:
        expected = case.expected(self._zoo, attempt)
        in_doubt = expected.path_in_doubt or self._doubts_paths(case.name, case.killed_by)
        return replace(expected, path_in_doubt=in_doubt)

    def _doubts_paths(self, name: str, killed_by: str | None = None) -> bool:
        """Return whether this plan cannot prove here that a path is the one that the kernel had."""
        return facts(self._plan, KERNEL_RELEASE, reached(name, killed_by)).path == "user"

    def _can_be_had(self, record: ExecFailure, case: Case) -> Found:
        """Whose they are: the kernel's own facts wherever these can be had."""
        wanted = facts(self._plan, KERNEL_RELEASE, reached(case.name, case.killed_by))
        found: Found = {}
        if record.path is not None and not (case.in_thread or case.path_afterwards or self._is_unseen(case)):
            found["whose path"] = "" if record.path_source == wanted.path else record.path_source
        if case.path_afterwards and self._plan != "tracepoint":
            found["whose path"] = "" if record.path_source == "kernel" else record.path_source
        if record.binary:
            actual = record.binary.source
            found["binary.source"] = "" if actual == wanted.binary else actual
        source = record.arguments_source
        if record.arguments and any(record.arguments) and wanted.arguments != "unreadable":
            found["whose arguments"] = "" if source == wanted.arguments else source
        elif wanted.arguments == "kernel" and not case.name.startswith("argv"):
            found["whose arguments"] = "the kernel's copy can be had"
        if source == "kernel":
            found["truncated.argc"] = "it can be had" if record.truncated.argc is None else ""
        return found

    def _is_unseen(self, case: Case) -> bool:
        """Return whether seccomp refuses the call before the hook at its beginning sees it."""
        return self._plan == "tracepoint" and case.name == "denied by seccomp"

    def _compat(self, program: str, name: str) -> Found:
        call, error = COMPAT_CALLS[name]
        with ExitStack() as stack:
            strace = None
            if self._witnessed:
                strace = stack.enter_context(witness(f"{tempfile.gettempdir()}/{uuid.uuid4()}"))
            with attempted_by(
                self._zoo / program, call, meanwhile=strace.attach if strace else None
            ) as attempt:
                (record,) = self._listener.records_of(attempt.caller.pid, attempt.before)
                stdin = f"/proc/{attempt.caller.pid}/fd/0"
                file = File(os.readlink(stdin), stdin) if error == "EACCES" else None
                found = compare(record, attempt, Expected(error, file))
            if strace:
                (seen,) = strace.seen()
                assert_same(record, seen)
        return found

    def _vfork(self) -> Found:
        with attempted_in_vfork(self._zoo / "vforks", Exec(MISSING)) as attempt:
            (record,) = self._listener.records_of(attempt.caller.pid, attempt.before)
            return compare(
                record, attempt, Expected("ENOENT", path_in_doubt=self._doubts_paths("missing file"))
            )

    def _x32(self) -> Found:
        path, error = x32_exec()
        records = self._of(path)
        if self._plan == _UNSEEN_BY_FENTRY and error == "ENOSYS":
            assert records == [], "this plan's hooks do not see it"
            return {}
        (record,) = records
        return compare_fields(record, {"error": error, "compat": True, "pid": os.getpid()})

    def _of(self, path: str) -> list[ExecFailure]:
        self._listener.catch_up()
        return [failure for failure in self._listener.failures if failure.path == path]

    def _kernels_own(self, path: str, **known: Any) -> Found:
        records = self._of(path)
        if self._plan == "tracepoint":
            assert records == [], "this plan's hooks do not see it"
            return {}
        (record,) = records
        assert record.ancestors
        return compare_fields(
            record,
            {
                "error": "ENOENT",
                "syscall": None,
                "kernel_invoked": True,
                "uid": 0,
                "euid": 0,
                "binary": None,
                "arguments_source": "kernel",
                "killed_by": None,
                **known,
            },
        )

    def _core(self) -> Found:
        handler = f"/no/{uuid.uuid4()}"
        with dumping_to(handler):
            pid = crash()
        return self._kernels_own(handler, arguments=(handler, str(pid), "two"))

    def _modprobe(self) -> Found:
        modprobe = f"/no/{uuid.uuid4()}"
        with looking_for_modules_with(modprobe) as module:
            pass
        # envp of call_modprobe, kernel/kmod.c.
        environment = ("HOME=/", "TERM=linux", "PATH=/sbin:/usr/sbin:/bin:/usr/bin")
        return self._kernels_own(modprobe, arguments=(modprobe, "-q", "--", module), environment=environment)

    def _counters(self) -> Found:
        self._listener.catch_up()
        counters = self._listener.counters
        assert add_up(counters), counters
        return {
            "lost": str(dict(counters.losses)) if counters.lost else "",
            "incomplete": str(dict(counters.incomplete)) if counters.incomplete else "",
        }

    def _nothing_is_left(self) -> Found:
        self._listener.catch_up()
        # The entry of this task, whose own exec fails, shows that entries would be seen.
        libc.syscall(ctypes.c_long(EXECVE), b"/no/such/program", None, None)
        assert self._tables.entries(SEARCHERS) > 0, "entries are not seen"
        assert bool(self._tables.state) == (self._plan != "tracepoint"), self._tables.state
        return left_in(self._tables)


def left_in(tables: Tables) -> Found:
    """Return what the tables of execs under way hold although none is."""
    deadline = time.monotonic() + _LEAVING
    while any(tables.entries(name) for name in tables.state) and time.monotonic() < deadline:
        time.sleep(0.5)
    counts = {name: tables.entries(name) for name in sorted(tables.state)}
    found = {name: f"{count} entries are left" if count else "" for name, count in counts.items()}
    execs, copies, _ = tables.held()
    return found | {"users' shares": f"{execs} execs, {copies} copies" if execs or copies else ""}


def x32_exec() -> tuple[str, str]:
    """Fail to exec a path as an x32 program does: that path, and the name of the error."""
    path = f"/no/{uuid.uuid4()}"
    libc.syscall(ctypes.c_long(X32_EXECVE), path.encode(), None, None)
    return path, errno.errorcode[ctypes.get_errno()]
