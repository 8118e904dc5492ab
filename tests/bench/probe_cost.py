"""The cost of watching: nanoseconds added to one exec, for execwhy and its peers in turn."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Final

from execwhy.bpf.events.source import Capture, Stage
from execwhy.bpf.load.support import choose
from execwhy.bpf.read.reader import KernelSource
from tests.bench.figures import Figure

ROUNDS: Final = 7
WORK: Final = {
    "missing file, 3 arguments, 4 variables": ("fail", 20_000),
    "missing file, 40 arguments, 60 variables": ("fail-large", 20_000),
    "ENOEXEC, 3 arguments, 4 variables": ("fail", 20_000),
    "successful exec": ("succeed", 400),
    "getppid": ("getppid", 2_000_000),
}
"""What ``loop`` does, and how often; a tenth of that under strace."""
NOEXEC: Final = "ENOEXEC, 3 arguments, 4 variables"
UNRELATED: Final = "getppid"
FREE_PLAN: Final = "fentry"
"""The plan with which nothing runs on an unrelated system call."""
NOISE: Final = 0.05
"""The share of a system call by which rounds differ with nothing attached."""
OURS: Final = "execwhy"
QUARTER_OF: Final = "libbpf-tools execsnoop"
SETTLE: Final = 1.5
"""Seconds after a peer has started: all of them print a header long before."""


@contextmanager
def execwhy(capture: Capture | None = None) -> Iterator[None]:
    """Attached, with a reader that decodes all of it, as --record and the screen do."""
    source = KernelSource(capture=capture)
    source.start()
    while source.status().stage is not Stage.LIVE:
        if source.status().stage is Stage.FAILED:
            sys.exit(f"execwhy does not run here: {source.status().detail}")
        source.wait(0.05)
    try:
        yield
    finally:
        source.close()
    if lost := source.status().counters.lost:
        sys.exit(f"{lost:,} events were lost, and these cost less: measure on a quieter machine")


@contextmanager
def running(command: list[str]) -> Iterator[None]:
    """Run a peer that prints its events into a file that nobody reads."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.DEVNULL)
        time.sleep(SETTLE)
        try:
            yield
        finally:
            ended = process.poll()
            process.terminate()
            process.wait()
        if ended is not None:
            sys.exit(f"{command[0]} does not run here (status {ended}): mount tracefs, or uninstall it")


def peers() -> dict[str, Callable[[], AbstractContextManager[None]]]:
    """Who is measured, by name."""
    found: dict[str, Callable[[], AbstractContextManager[None]]] = {
        "nothing": nullcontext,
        OURS: execwhy,
        "execwhy, all suppressed": lambda: execwhy(Capture(uid_ranges=((4_000_000_000, 4_000_000_000),))),
    }
    commands = {
        QUARTER_OF: ["execsnoop", "-x"],
        "bpftrace execsnoop": [
            "bpftrace", "-e",
            'tracepoint:syscalls:sys_enter_execve { printf("%d %s ", pid, comm); join(args->argv); } '
            'tracepoint:syscalls:sys_exit_execve { printf("%d\\n", args->ret); }',
        ],
        "perf trace --failure": ["perf", "trace", "--failure", "-a", "-e", "execve,execveat"],
    }  # fmt: skip
    for name, command in commands.items():
        path = shutil.which(command[0]) or shutil.which(command[0], path="/usr/sbin:/usr/share/libbpf-tools")
        if path:
            found[name] = lambda command=[path, *command[1:]]: running(command)  # type: ignore[misc]
        else:
            sys.exit(
                f"{name} is missing, and without it there is no bound: run `make bench`, which installs it"
            )
    return found


def once(loop: Path, what: str, times: int, path: list[str], prefix: tuple[str, ...] = ()) -> float:
    """Return nanoseconds for each of ``times``."""
    command = [*prefix, str(loop), what, str(times), *path]
    return float(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout)


def medians(loop: Path) -> dict[str, dict[str, float]]:
    """Return nanoseconds for one of each kind of work, by watcher: the median of alternating rounds.

    Each round counts with its least disturbed fortieth.
    """
    results: dict[str, dict[str, list[float]]] = {}
    watchers = peers()
    with tempfile.TemporaryDirectory() as place:
        text = Path(place, "text")
        text.write_text("no program")
        text.chmod(0o755)
        paths = {NOEXEC: [str(text)]}

        def round_of(name: str, part: int, prefix: tuple[str, ...] = ()) -> None:
            for work, (what, times) in WORK.items():
                took = once(loop, what, times // part, paths.get(work, []), prefix)
                results.setdefault(name, {}).setdefault(work, []).append(took)

        for _ in range(ROUNDS):
            for name, watcher in watchers.items():
                with watcher():
                    round_of(name, 1)
            if shutil.which("strace"):
                round_of(
                    "strace -f -Z",
                    10,
                    ("strace", "-f", "-Z", "-o", "/dev/null", "-e", "trace=execve,execveat"),
                )
    return {
        name: {work: statistics.median(values) for work, values in row.items()}
        for name, row in results.items()
    }


def measure(loop: Path) -> Iterator[Figure]:
    """Measure what each watcher adds to each kind of work."""
    is_free = choose(None).name == FREE_PLAN
    taken = medians(loop)
    bare = taken.pop("nothing")
    for work, nanoseconds in bare.items():
        yield Figure(f"{work}: nothing attached", nanoseconds, "ns")
        for name, row in taken.items():
            added = row[work] - nanoseconds
            bound, note = None, ""
            if name == OURS and work == next(iter(WORK)):
                bound = (taken[QUARTER_OF][work] - nanoseconds) / 4
            elif name == OURS and work == UNRELATED and is_free:
                bound = nanoseconds * NOISE
            elif name == OURS and work == UNRELATED:
                note = f"the bound is that of the {FREE_PLAN} plan, which does not work here"
            yield Figure(f"  added by {name}", added, "ns", bound, note)
