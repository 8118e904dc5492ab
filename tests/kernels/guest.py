"""Run a command in another kernel: QEMU, with this machine's own root file system, read-only.

``tools/kernels SERIES -- COMMAND`` does the same from a shell. The guest may write to a directory that
both sides see; everything else that it writes is lost at its end. It sees the project at the same path, its
TMPDIR is a tmpfs, and it is root.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PROJECT: Final = Path(__file__).resolve().parents[2]
SERIES: Final = ("5.10", "6.1", "6.12")
"""The directory that tools/kernels installs to."""

SECONDS: Final = 1800
"""Default for a whole run: an emulated processor is 10 to 20 times slower, and shared."""

_MODULES: Final = Path("/lib/modules")
_VNG: Final = PROJECT / ".venv/kernels/bin/vng"
_HIDDEN: Final = ("/var/tmp", "/var/cache", "/var/log", "/run")
"""Directories over which the guest mounts file systems of its own."""

_SCRIPT: Final = """\
mount -t cgroup2 cgroup2 /sys/fs/cgroup 2>/dev/null
ip link set lo up
mkdir -m 755 /run/tests
{unpack}
cd {project} && TMPDIR=/run/tests PATH={venv}:$PATH {command} >{share}/output 2>&1 </dev/null
echo $? >{share}/status
sync
"""

_UNPACK: Final = """\
mkdir -m 755 /run/luggage
tar -x --xattrs --xattrs-include='*' -C /run/luggage -f {archive} || exit 1
for path in {paths}; do mount --bind /run/luggage/$path $path || exit 1; done
"""


class GuestError(Exception):
    """The kernel did not boot, or did not finish; the message holds its last output."""


@dataclass(frozen=True)
class Luggage:
    """Files that the guest keeps in memory, so that reading them is fast (``tests.kernels.luggage``).

    Attributes:
        archive: All of them.
        paths: Those to mount over themselves; none has a character that is special to a shell.
    """

    archive: Path
    paths: tuple[str, ...]


@dataclass(frozen=True)
class Finished:
    """A command that has run in the guest.

    Attributes:
        status: Its exit status.
        output: What it wrote, including standard error.
    """

    status: int
    output: str


def release_of(series: str) -> str:
    """Return the newest release of a series, "6.1.0-56-amd64", that ``tools/kernels`` has installed.

    Raises:
        GuestError: There is none.
    """
    found = sorted(_MODULES.glob(f"{series}.*/vmlinuz"), key=lambda image: image.stat().st_mtime)
    if not found:
        raise GuestError(f"there is no kernel {series} to boot: run tools/kernels.")
    return found[-1].parent.name


def run_in(
    series: str,
    command: Sequence[str],
    *,
    append: Sequence[str] = (),
    share: Path | None = None,
    luggage: Luggage | None = None,
    seconds: float = SECONDS,
) -> Finished:
    """Boot a kernel, run one command in the project's directory with its venv, and wait for its end.

    Args:
        series: "6.1".
        command: The command and its arguments.
        append: More of the kernel's command line: "preempt=full".
        share: A directory that the guest may write; None for one that is gone afterwards.
        luggage: The files that the guest keeps in memory.
        seconds: How long all of that may take.

    Raises:
        GuestError: The kernel is not installed, did not boot, or took longer.
    """
    if share is None:
        with tempfile.TemporaryDirectory(prefix="execwhy-guest-") as directory:
            share = Path(directory)
            return run_in(series, command, append=append, share=share, luggage=luggage, seconds=seconds)
    for name in ("output", "status"):
        (share / name).unlink(missing_ok=True)
    (share / "script").write_text(
        _SCRIPT.format(
            project=shlex.quote(str(PROJECT)),
            venv=shlex.quote(str(PROJECT / ".venv/bin")),
            command=shlex.join(command),
            share=shlex.quote(str(share)),
            unpack=_unpacking(luggage) if luggage else "",
        )
    )
    read_only = [luggage.archive.parent] if luggage else []
    console = _boot(series, append, share, read_only, seconds)
    try:
        status, output = (share / "status").read_text(), (share / "output").read_text(errors="replace")
    except FileNotFoundError:
        said = (share / "output").read_text(errors="replace") if (share / "output").exists() else console
        raise GuestError(f"{series} did not come to its end within {seconds:.0f} s: {said[-3000:]}") from None
    return Finished(int(status), output)


def _unpacking(luggage: Luggage) -> str:
    return _UNPACK.format(archive=shlex.quote(str(luggage.archive)), paths=" ".join(luggage.paths))


def _boot(series: str, append: Sequence[str], share: Path, read_only: Sequence[Path], seconds: float) -> str:
    """Boot, run ``script``, end QEMU in any case, and return the output."""
    if not _VNG.exists():
        raise GuestError("virtme-ng is missing: run tools/kernels.")
    if set("=,") & set(str(share)):
        raise GuestError(f"virtme-ng does not take {share}: share a directory without = and , in its path.")
    options = ["--disable-kvm", "--force-9p", "--cpus", "2", "--memory", "2G", "--rwdir", str(share)]
    for place in (PROJECT, *read_only):
        if str(place).startswith(tuple(f"{directory}/" for directory in _HIDDEN)):
            options += ["--rodir", str(place)]
    for words in append:
        options += ["--append", words]
    command = [str(_VNG), "--run", release_of(series), *options, "--", f"sh {shlex.quote(str(share))}/script"]
    with tempfile.TemporaryFile() as console:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            env={**os.environ, "PATH": f"{_VNG.parent}:{os.environ['PATH']}"},
            start_new_session=True,
        )
        try:
            with suppress(subprocess.TimeoutExpired):
                process.wait(seconds)
        finally:
            # QEMU is a grandchild in a process group of its own.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        console.seek(0)
        return console.read().decode(errors="replace")


def main() -> int:
    """Run the command line of ``tools/kernels SERIES -- COMMAND``."""
    parser = argparse.ArgumentParser("tools/kernels", description=__doc__)
    parser.add_argument("series", choices=SERIES)
    parser.add_argument("--append", action="append", default=[], help="more of the kernel's command line")
    parser.add_argument("--share", type=Path, help="a directory that the guest may write")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="how long it may take")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    try:
        finished = run_in(
            options.series,
            options.command,
            append=options.append,
            share=options.share and options.share.resolve(),
            seconds=options.seconds,
        )
    except GuestError as error:
        print(error, file=sys.stderr)
        return 1
    sys.stdout.write(finished.output)
    return finished.status


if __name__ == "__main__":
    sys.exit(main())
