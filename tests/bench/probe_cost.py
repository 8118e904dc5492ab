"""What watching costs the machine: nanoseconds added to one exec, for execwhy and its peers, alternating.

Run by ``make bench`` (root). Peers that are not installed are left out and named.
"""

from __future__ import annotations

import json
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

from bpf.reader import KernelSource
from bpf.source import Stage

ROUNDS: Final = 7
TIMES: Final = {"fail": 20_000, "succeed": 400, "getppid": 2_000_000}
STRACE_TIMES: Final = {"fail": 2_000, "succeed": 200, "getppid": 200_000}
SETTLE: Final = 1.5
"""Seconds after a peer has started: all of them print a header long before."""
PROGRAM: Final = Path(__file__).parents[1] / "programs" / "loop.c"


@contextmanager
def execwhy() -> Iterator[None]:
    """Attached, with a reader that decodes all of it, as --record and the screen do."""
    source = KernelSource()
    source.start()
    while source.status().stage is not Stage.LIVE:
        if source.status().stage is Stage.FAILED:
            sys.exit(f"execwhy does not run here: {source.status().detail}")
        source.wait(0.05)
    try:
        yield
    finally:
        source.close()


@contextmanager
def running(command: list[str]) -> Iterator[None]:
    """A peer that prints its events into a file that nobody reads."""
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
        "execwhy": execwhy,
    }
    commands = {
        "libbpf-tools execsnoop -x": ["execsnoop", "-x"],
        "bpftrace execsnoop": [
            "bpftrace", "-e",
            'tracepoint:syscalls:sys_enter_execve { printf("%d %s ", pid, comm); join(args->argv); } '
            'tracepoint:syscalls:sys_exit_execve { printf("%d\\n", args->ret); }',
        ],
    }  # fmt: skip
    for name, command in commands.items():
        path = shutil.which(command[0]) or shutil.which(command[0], path="/usr/sbin:/usr/share/libbpf-tools")
        if path:
            found[name] = lambda command=[path, *command[1:]]: running(command)  # type: ignore[misc]
        else:
            print(f"{name} is not installed, and left out")
    return found


def measure(loop: Path, what: str, times: int, prefix: tuple[str, ...] = ()) -> float:
    """Nanoseconds for each of ``times``."""
    run = subprocess.run(
        [*prefix, str(loop), what, str(times)], stdout=subprocess.PIPE, check=True, text=True
    )
    return float(run.stdout)


def main() -> None:
    """Print the table, and write it as JSON where a path is given."""
    with tempfile.TemporaryDirectory() as place:
        loop = Path(place, "loop")
        subprocess.run(["cc", "-O2", "-o", loop, PROGRAM], check=True)
        watchers = peers()
        results: dict[str, dict[str, list[float]]] = {}
        for _ in range(ROUNDS):
            for name, watcher in watchers.items():
                with watcher():
                    for what, times in TIMES.items():
                        results.setdefault(name, {}).setdefault(what, []).append(measure(loop, what, times))
            if shutil.which("strace"):
                strace = ("strace", "-f", "-Z", "-o", "/dev/null", "-e", "trace=execve,execveat")
                for what, times in STRACE_TIMES.items():
                    found = measure(loop, what, times, strace)
                    results.setdefault("strace -f -Z", {}).setdefault(what, []).append(found)
    medians = {
        name: {what: statistics.median(values) for what, values in row.items()}
        for name, row in results.items()
    }
    bare = medians["nothing"]
    print(f"{'nanoseconds added to one':<28}{'failing exec':>16}{'successful exec':>18}{'getppid':>10}")
    for name, row in medians.items():
        added = row if name == "nothing" else {what: row[what] - bare[what] for what in row}
        label = "(with nothing attached)" if name == "nothing" else name
        print(f"{label:<28}{added['fail']:>16,.0f}{added['succeed']:>18,.0f}{added['getppid']:>10,.0f}")
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(json.dumps(medians, indent=1) + "\n")


if __name__ == "__main__":
    main()
