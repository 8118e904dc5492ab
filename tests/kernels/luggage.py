"""The files that a guest reads often, as one archive.

A guest reads this machine's files through 9p, where each page that a program touches is a request and an
answer: starting Python takes a minute, loading the compiler two. So these files go as one archive into
the guest's memory, and are mounted over themselves there.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy

from execwhy.bpf.load.loader import interpreter
from tests.kernels.guest import PROJECT, Luggage

_UNUSED: Final = (
    "*/numpy/*/tests",
    "*/numpy/f2py",
    "*/lib2to3",
    "*/ensurepip",
    "*/idlelib",
    "*/config-*-linux-*",
    "*.opt-*.pyc",
)
"""Parts of Python's library that nothing here imports."""

_PARTS: Final = ("bpf", "tests", ".venv/checkout")
"""Of the project."""

_PACKAGES: Final = frozenset({"cachetools", "numpy", "numpy.libs"})
"""Of the venv."""

_PROGRAMS: Final = ("sh", "strace", "tar", "mount", "cat")


def python() -> str:
    """Return the Python that the guest runs: the one that has bcc, outside this project's venv."""
    return "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else interpreter()


def packages() -> str:
    """Return where the venv has what the reader needs besides Python's library."""
    return os.path.dirname(os.path.dirname(numpy.__file__))


def pack(archive: Path, zoo: str) -> Luggage:
    """Write the archive.

    Args:
        archive: Where to write it.
        zoo: A directory to include with its files' capabilities; it is mounted like the others.
    """
    paths = sorted(set(_paths()))
    left_out = [f"--exclude={pattern}" for pattern in _UNUSED]
    # --hard-dereference: each path is mounted separately, independent of the others.
    options = ["-P", "--hard-dereference", "--xattrs", "--xattrs-include=*", *left_out]
    subprocess.run(["tar", "-c", *options, "-f", archive, *paths, zoo], check=True)
    return Luggage(archive, (*paths, zoo))


def _paths() -> Iterator[str]:
    for part in _PARTS:
        yield str(PROJECT / part)
    program = "import os, bcc; print(os.__file__, bcc.__file__, os.path.realpath('/proc/self/exe'))"
    home = subprocess.run(
        [python(), "-I", "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    yield from (os.path.dirname(home[0]), os.path.dirname(home[1]), home[2])
    yield from (f"{packages()}/{name}" for name in os.listdir(packages()) if name in _PACKAGES)
    programs = [found for program in _PROGRAMS if (found := shutil.which(program))]
    yield from map(os.path.realpath, programs)
    yield from _libraries([home[2], *programs, "libbcc.so.0"])


def _libraries(programs: list[str]) -> Iterator[str]:
    """Yield the shared libraries that the programs load."""
    for program in programs:
        path = program
        if not program.startswith("/"):
            cache = subprocess.run(
                ["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True
            ).stdout
            (path, *_) = re.findall(rf"^\s*{re.escape(program)} .*=> (\S+)$", cache, re.MULTILINE)
            yield os.path.realpath(path)
        libraries = subprocess.run(["ldd", path], capture_output=True, text=True, check=False).stdout
        yield from map(os.path.realpath, re.findall(r"(/\S+) \(0x", libraries))
