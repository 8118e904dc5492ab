"""The legacy plan with another function in exec_binprm's place, which nearly every kernel has inlined."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final
from unittest.mock import patch

from execwhy.bpf.load.loader import Loaded, Loader
from execwhy.bpf.program.plans import EXEC_BINPRM, LEGACY
from execwhy.bpf.read.reader import KernelSource
from tests.live.error_cases import ERRORS
from tests.live.exec_child import EXECVE, PATIENCE, attempted
from tests.live.expectation import compare
from tests.live.listener import Listener
from tests.live.zoo import Zoo

STAND_IN: Final = "bprm_execve"
"""It has exec_binprm's signature since 6.8: it takes a bprm with its file open and returns an errno."""

REACHING: Final = (
    "missing #! interpreter",
    "text",
    "missing ELF interpreter",
    "#! recursion",
    "after the point of no return",
)
"""Kinds of failure that happen within that function."""

_AT_ONCE: Final = 40
"""Execs: more than a kretprobe has room for (10, or twice the number of processors)."""

_STATISTICS: Final = "/proc/sys/kernel/bpf_stats_enabled"
_LEASE_SECONDS: Final = "/proc/sys/fs/lease-break-time"
_RUNS: Final = re.compile(r"^run_cnt:\s*(\d+)$", re.MULTILINE)


def stands_in(zoo: Zoo) -> dict[str, str]:
    """Return what is wrong, by name: both programs must run for each exec, and the records must be right.

    Raises:
        RuntimeError: The plan does not work here.
    """
    found: dict[str, str] = {}
    with counting_runs(), standing_in() as (listener, loaded):
        refused = {hook.target: reason for hook, reason in loaded.refused}
        assert EXEC_BINPRM not in refused, refused
        for case in (case for case in ERRORS if case.name in REACHING):
            before = _runs(loaded)
            with attempted(case.prepare(zoo)) as attempt:
                (record,) = listener.records_of(attempt.caller.pid, attempt.before)
                of_case = compare(record, attempt, case.expected(zoo, attempt))
            of_case["binary.source"] = "" if record.binary and record.binary.source == "kernel" else "another"
            of_case["whose arguments"] = "" if record.arguments_source == "kernel" else "another's"
            for kind, runs in _runs(loaded).items():
                of_case[f"{kind} runs"] = "" if runs > before[kind] else "it did not"
            found |= {f"{case.name}: {name}": problem for name, problem in of_case.items()}
    return found


def misses_are_counted(zoo: Zoo) -> dict[str, str]:
    """Return what is wrong, by name: the kretprobe has no room for all sleeping execs, and counts misses.

    Raises:
        RuntimeError: The plan does not work here.
    """
    name = str(uuid.uuid4())
    interpreter, script = f"{zoo.directory}/{name}", f"{zoo.directory}/{name}.script"
    for path, text in ((interpreter, "no program\n"), (script, f"#!{interpreter}\n")):
        with open(path, "w") as file:
            file.write(text)
        os.chmod(path, 0o755)
    with standing_in() as (listener, _):
        with opening_waits(interpreter):
            storm = subprocess.Popen(
                [zoo / "storm", script, name, str(_AT_ONCE), "1"], stdout=subprocess.DEVNULL
            )
            _wait_until_all_exec(storm.pid)
        assert storm.wait(PATIENCE) == 0
        records = listener.records_with(name)
        missing = f"kretprobe {EXEC_BINPRM} skipped by the kernel"
        # The counts of the kernel are read only now and then.
        listener.until(lambda: missing in listener.counters.incomplete, missing)
        counters = listener.counters
    missed = counters.incomplete[missing]
    whole = [record for record in records if record.binary and record.binary.source == "kernel"]
    return {
        "missed": "" if 0 < missed < _AT_ONCE else f"{missed} of {_AT_ONCE}, {counters.incomplete}",
        "lost": "" if not counters.lost else str(counters.losses),
        # free_bprm reports what the kretprobe missed.
        "records": "" if len(whole) == len(records) == _AT_ONCE else f"{len(records)}, {len(whole)} whole",
    }


@contextmanager
def opening_waits(path: str) -> Iterator[None]:
    """Whoever opens the file waits until this ends: there is a lease on it (fcntl(2))."""
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    with open(_LEASE_SECONDS, "r+") as seconds, open(path) as file:
        usual = seconds.read()
        seconds.seek(0)
        seconds.write(str(round(PATIENCE)))
        seconds.flush()
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        try:
            yield
        finally:
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
            seconds.seek(0)
            seconds.write(usual)
            seconds.flush()
            signal.signal(signal.SIGIO, before)


def _wait_until_all_exec(pid: int) -> None:
    """Wait until that many threads of a process are asleep in an execve."""
    deadline = time.monotonic() + PATIENCE
    while True:
        calls = []
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/syscall") as file:
                calls.append(file.read().split()[0])
        if calls.count(str(EXECVE)) == _AT_ONCE:
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"not all of {_AT_ONCE} threads are in execve: {calls}")
        time.sleep(0.1)


@contextmanager
def standing_in() -> Iterator[tuple[Listener, Loaded]]:
    """Yield a source whose exec_binprm is another function, and what it has loaded."""
    kept: list[Loaded] = []

    class Remembering(Loader):
        def finish(self, on_stage: Callable[[str, str], None]) -> Loaded:
            kept.append(super().finish(on_stage))
            return kept[-1]

    source = KernelSource(plan=LEGACY.name, exec_binprm=STAND_IN)
    listener = Listener(source)
    try:
        with patch("execwhy.bpf.read.reader.Loader", Remembering):
            listener.start()
        yield listener, kept[0]
    finally:
        source.close()


@contextmanager
def counting_runs() -> Iterator[None]:
    """Have the kernel count how often each program runs."""
    with open(_STATISTICS, "r+") as file:
        before = file.read()
        file.seek(0)
        file.write("1")
        file.flush()
        try:
            yield
        finally:
            file.seek(0)
            file.write(before)


def _runs(loaded: Loaded) -> dict[str, int]:
    """Return how often the programs in exec_binprm's place have run, by kind of hook."""
    runs: dict[str, int] = {}
    for hook, program in loaded.hooks:
        if hook.target == EXEC_BINPRM:
            with open(f"/proc/self/fdinfo/{program}") as file:
                match = _RUNS.search(file.read())
            assert match, "the kernel does not report how often a program has run"
            runs[hook.kind] = int(match[1])
    assert set(runs) == {"kprobe", "kretprobe"}
    return runs
