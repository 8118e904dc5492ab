"""Runs in the guest: every kind of failure under every plan, what is wrong with its record, as JSON.

    python3 -m tests.kernels.inside OUTPUT ZOO LOADER [PLAN...]

The kinds and what their records must be are those of the live tests; strace watches the same execs.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import sys
import tempfile
import time
import traceback
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from bpf import kernel
from bpf.plans import PLANS
from bpf.reader import KernelSource
from bpf.record import ExecFailure
from tests.kernels.facts import facts, reached
from tests.live.caller_cases import CALLERS
from tests.live.cases import MISSING, Case
from tests.live.circumstances import KERNEL_RELEASE
from tests.live.compat_cases import COMPAT_CALLS, COMPAT_PROGRAMS
from tests.live.error_cases import ERRORS
from tests.live.exec_child import Attempt, Exec, attempted, attempted_by, attempted_in_vfork, libc
from tests.live.expectation import Expected, File, check
from tests.live.kernel_calls import crash, dumping_to, looking_for_modules_with
from tests.live.listener import Listener, add_up
from tests.live.strace import assert_same, witness
from tests.live.string_cases import STRINGS
from tests.live.zoo import Zoo

X32_EXECVE: Final = 0x40000000 | 520
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
)
"""Of which there is a verdict under each plan."""


@dataclass
class Verdict:
    """What became of one kind: nothing, or what is wrong with it."""

    kind: str
    problem: str = ""
    seconds: float = 0.0


class Run:
    """All kinds under one plan."""

    def __init__(self, plan: str, zoo: Zoo, listener: Listener) -> None:
        self._plan = plan
        self._zoo = zoo
        self._listener = listener

    def verdicts(self) -> Iterator[Verdict]:
        """One after the other."""
        for kind, test in self._kinds().items():
            began = time.monotonic()
            problem = ""
            try:
                test()
            except Exception as error:
                place = traceback.extract_tb(error.__traceback__)[-1]
                problem = f"{type(error).__name__}: {error} ({place.name}: {place.line})"
            verdict = Verdict(kind, problem[:2000], round(time.monotonic() - began, 2))
            # Where the guest does not come to its end, this tells how far it came.
            print(self._plan, kind, verdict.seconds, problem[:200], flush=True)
            yield verdict

    def _kinds(self) -> dict[str, Callable[[], None]]:
        tests: dict[str, Callable[[], None]] = {case.name: partial(self._case, case) for case in CASES}
        for program in COMPAT_PROGRAMS:
            for name in _OF_COMPAT:
                tests[f"{program}: {name}"] = partial(self._compat, program, name)
        return tests | {
            "vfork child": self._vfork,
            "x32": self._x32,
            "core dump handler that is missing": self._core,
            "modprobe that is missing": self._modprobe,
            "counters": self._counters,
        }

    # ---- the kinds ----

    def _case(self, case: Case) -> None:
        with ExitStack() as stack:
            strace = None
            # strace reads what nobody has touched, which then is there for the kernel program too.
            # Of a thread that execs and is killed it loses the call, for that has another tid by then.
            if "touched" not in case.name and case is not _LATE_IN_THREAD:
                strace = stack.enter_context(witness(f"{tempfile.gettempdir()}/{uuid.uuid4()}"))
            with attempted(
                case.prepare(self._zoo), in_thread=case.in_thread, meanwhile=strace.attach if strace else None
            ) as attempt:
                records = self._listener.records_of(attempt.caller.pid, attempt.before)
                if self._plan in case.unseen_by:
                    assert records == [], "this plan's hooks do not see it"
                    return
                assert len(records) == 1, f"{len(records)} records"
                check(records[0], attempt, case.expected(self._zoo, attempt))
                self._has_what_can_be_had(records[0], attempt, case)
            if strace:
                (seen,) = strace.seen()
                assert_same(records[0], seen)

    def _has_what_can_be_had(self, record: ExecFailure, attempt: Attempt, case: Case) -> None:
        wanted = facts(self._plan, KERNEL_RELEASE, reached(case.name, case.killed_by))
        if record.binary:
            assert record.binary.source == wanted.binary, f"binary.source {record.binary.source}"
        if record.arguments and any(record.arguments) and wanted.arguments != "unreadable":
            assert record.arguments_source == wanted.arguments, f"arguments_source {record.arguments_source}"
        elif wanted.arguments == "kernel" and not case.name.startswith("argv"):
            raise AssertionError("the kernel's copy of argv can be had")
        if record.arguments_source == "kernel":
            assert record.truncated.argc is not None, "argc can be had"

    def _compat(self, program: str, name: str) -> None:
        call, error = COMPAT_CALLS[name]
        with witness(f"{tempfile.gettempdir()}/{uuid.uuid4()}") as strace:
            with attempted_by(self._zoo / program, call, meanwhile=strace.attach) as attempt:
                (record,) = self._listener.records_of(attempt.caller.pid, attempt.before)
                stdin = f"/proc/{attempt.caller.pid}/fd/0"
                file = File(os.readlink(stdin), stdin) if error == "EACCES" else None
                check(record, attempt, Expected(error, file))
            (seen,) = strace.seen()
        assert_same(record, seen)

    def _vfork(self) -> None:
        with attempted_in_vfork(self._zoo / "vforks", Exec(MISSING)) as attempt:
            (record,) = self._listener.records_of(attempt.caller.pid, attempt.before)
            check(record, attempt, Expected("ENOENT"))

    def _x32(self) -> None:
        path = f"/no/{uuid.uuid4()}"
        libc.syscall(ctypes.c_long(X32_EXECVE), path.encode(), None, None)
        error = errno.errorcode[ctypes.get_errno()]
        self._listener.catch_up()
        records = [failure for failure in self._listener.failures if failure.path == path]
        if self._plan == _UNSEEN_BY_FENTRY and error == "ENOSYS":
            assert records == [], "this plan's hooks do not see it"
            return
        (record,) = records
        assert (record.error, record.compat, record.pid) == (error, True, os.getpid())

    def _kernels_own(self, path: str) -> ExecFailure | None:
        self._listener.catch_up()
        records = [failure for failure in self._listener.failures if failure.path == path]
        if self._plan == "tracepoint":
            assert records == [], "this plan's hooks do not see it"
            return None
        (record,) = records
        assert (record.error, record.syscall, record.kernel_invoked) == ("ENOENT", None, True)
        assert (record.uid, record.binary, record.arguments_source) == (0, None, "kernel")
        return record

    def _core(self) -> None:
        handler = f"/no/{uuid.uuid4()}"
        with dumping_to(handler):
            pid = crash()
        if record := self._kernels_own(handler):
            assert record.arguments == (handler, str(pid), "two"), record.arguments

    def _modprobe(self) -> None:
        modprobe = f"/no/{uuid.uuid4()}"
        with looking_for_modules_with(modprobe) as module:
            pass
        if record := self._kernels_own(modprobe):
            assert record.arguments == (modprobe, "-q", "--", module), record.arguments
            assert record.environment[0] == "HOME=/" and len(record.environment) == 3, record.environment

    def _counters(self) -> None:
        self._listener.catch_up()
        counters = self._listener.counters
        assert add_up(counters), counters
        assert counters.lost == 0, counters


def under(plan: str, zoo: Zoo) -> dict[str, object]:
    """What becomes of every kind under a plan; or why the plan does not work here."""
    wanted = next(each for each in PLANS if each.name == plan)
    if obstacles := kernel.obstacles(wanted):
        return {"obstacles": obstacles, "verdicts": []}
    source = KernelSource(plan=plan)
    listener = Listener(source)
    began = time.monotonic()
    try:
        listener.start()
        loaded = round(time.monotonic() - began, 1)
        verdicts = [vars(verdict) for verdict in Run(plan, zoo, listener).verdicts()]
    except (RuntimeError, TimeoutError) as error:
        return {"obstacles": [str(error)], "verdicts": []}
    finally:
        source.close()
    return {"obstacles": [], "loaded": loaded, "verdicts": verdicts}


def main(output: str, directory: str, loader: str, *plans: str) -> None:
    """Write the results; they are complete or not there."""
    # Without the console, whose name the test's own reading of /proc does not know.
    os.setsid()
    zoo = Zoo(directory, loader)
    with open("/proc/cpuinfo") as file:
        levels = 5 if " la57" in file.read() else 4
    results = {
        "release": os.uname().release,
        "paging_levels": levels,
        "plans": {plan: under(plan, zoo) for plan in plans or [each.name for each in PLANS]},
    }
    Path(f"{output}.new").write_text(json.dumps(results))
    os.rename(f"{output}.new", output)


if __name__ == "__main__":
    main(*sys.argv[1:])
