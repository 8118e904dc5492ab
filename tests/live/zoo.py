"""A directory of files that cannot be executed, and the programs of tests/programs."""

from __future__ import annotations

import os
import platform
import re
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SOURCES: Final = Path(__file__).parent.parent / "programs"

DEEPEST_RECURSION: Final = 6
"""One ``#!`` more than the kernel follows ("depth > 5" in exec_binprm of fs/exec.c)."""

HOSTILE_NAME: Final = "\x1b[31mred\n[bold]markup\u202ebidi\udcff\\ name"
"""A hostile file name: an escape sequence, markup, a bidi control, a byte that is not UTF-8."""

_ELF_MACHINE: Final = 18
_ELF_PROGRAM_HEADERS: Final = 32
_PT_LOAD: Final = 1
_PROGRAM_HEADER: Final = struct.Struct("<IIQQQQQQ")
_FOREIGN: Final = 22
"""EM_S390 (elf.h): no machine that execwhy runs on."""
_NO_USER_ADDRESS: Final = 0xFFFF_8000_0000_0000
_FREESTANDING: Final = [
    "-ffreestanding",
    "-fno-stack-protector",
    "-mgeneral-regs-only",
    "-nostdlib",
    "-static",
    "-no-pie",
]
_CAP_NET_RAW: Final = 13
_VFS_CAP_REVISION_2_EFFECTIVE: Final = 0x02000001


@dataclass(frozen=True)
class Zoo:
    """The directory. Everyone may search it; its own path holds no symbolic link.

    Attributes:
        directory: The directory of all files.
        loader: The ELF interpreter of ``dynamic``, as readelf reports it.
    """

    directory: str
    loader: str

    def __truediv__(self, name: str) -> str:
        return f"{self.directory}/{name}"

    def path(self, name: str) -> bytes:
        """Return the path of a file as an exec takes it."""
        return os.fsencode(self / name)


@contextmanager
def built_zoo() -> Iterator[Zoo]:
    """Build everything in a temporary directory, which is removed at the end."""
    directory = os.path.realpath(tempfile.mkdtemp(prefix="execwhy-live-"))
    os.chmod(directory, 0o755)
    try:
        _build_programs(directory)
        _write_files(directory)
        yield Zoo(directory, _loader(f"{directory}/dynamic"))
    finally:
        shutil.rmtree(directory)


def _build_programs(directory: str) -> None:
    builds = [
        ("succeeds", "succeeds.c", ["-static", "-no-pie"]),
        ("dynamic", "succeeds.c", []),
        ("missing-loader", "succeeds.c", ["-Wl,--dynamic-linker=/no/such/ld.so"]),
        ("bad-loader", "succeeds.c", [f"-Wl,--dynamic-linker={directory}/no-elf"]),
        ("vforks", "vforks.c", []),
        ("storm", "storm.c", ["-pthread"]),
        ("crowd", "crowd.c", ["-static", "-no-pie"]),
        ("loop", "loop.c", ["-O2"]),
        ("stress", "stress.c", ["-pthread"]),
    ]
    if platform.machine() == "x86_64":
        builds += [("int80-32", "int80.c", ["-m32", *_FREESTANDING]), ("int80-64", "int80.c", _FREESTANDING)]
    for program, source, options in builds:
        subprocess.run(
            [
                "cc",
                "-O1",
                "-Wall",
                "-Wextra",
                "-Werror",
                *options,
                "-o",
                f"{directory}/{program}",
                SOURCES / source,
            ],
            check=True,
        )


def _write_files(directory: str) -> None:
    def write(name: str, content: str | bytes, mode: int = 0o755) -> None:
        path = f"{directory}/{name}"
        with open(path, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
        os.chmod(path, mode)

    with open(f"{directory}/succeeds", "rb") as file:
        program = file.read()
    write("not-executable", program, 0o644)
    write("owner-only", program, 0o700)
    write("busy", program)
    write("foreign", _with_machine(program, _FOREIGN))
    write("unmappable", _with_first_load_at(program, _NO_USER_ADDRESS))
    write("text", "echo no interpreter line\n")
    write("empty", b"")
    write("no-elf", "This is not a program. " * 10)
    write("script", "#!/bin/sh\nexit 0\n")
    write("bad-interpreter", "#!/no/such/interpreter -x\n")
    write("crlf", "#!/bin/sh\r\nexit 0\r\n")
    write("interpreter-not-executable", f"#!{directory}/not-executable\n")
    for level in range(DEEPEST_RECURSION + 1):
        write(f"recursion-{level}", f"#!{directory}/recursion-{level + 1}\n")
    write("capable", program)
    permitted = struct.pack("<5I", _VFS_CAP_REVISION_2_EFFECTIVE, 1 << _CAP_NET_RAW, 0, 0, 0)
    os.setxattr(f"{directory}/capable", "security.capability", permitted)
    write(HOSTILE_NAME, "", 0o644)
    write("[bracket]", "", 0o644)

    os.symlink("not-executable", f"{directory}/link")
    os.symlink("gone", f"{directory}/dangling")
    os.symlink("loop-b", f"{directory}/loop-a")
    os.symlink("loop-a", f"{directory}/loop-b")
    os.mkdir(f"{directory}/directory")
    os.mkdir(f"{directory}/private", 0o700)
    shutil.copy(f"{directory}/succeeds", f"{directory}/private/program")
    os.mkfifo(f"{directory}/fifo")
    os.mknod(f"{directory}/device", 0o020666, os.makedev(1, 3))
    for name in ("fifo", "device"):
        os.chmod(f"{directory}/{name}", 0o777)
    os.makedirs(f"{directory}/root/sub")
    shutil.copy(f"{directory}/not-executable", f"{directory}/root/sub/plain")
    os.symlink("/sub/plain", f"{directory}/root/link")
    os.symlink("root/sub", f"{directory}/link-to-root-sub")


def _with_machine(program: bytes, machine: int) -> bytes:
    changed = bytearray(program)
    struct.pack_into("<H", changed, _ELF_MACHINE, machine)
    return bytes(changed)


def _with_first_load_at(program: bytes, address: int) -> bytes:
    """Return the program with its first PT_LOAD moved to where the kernel cannot map it."""
    changed = bytearray(program)
    (offset,) = struct.unpack_from("<Q", program, _ELF_PROGRAM_HEADERS)
    while True:
        header = list(_PROGRAM_HEADER.unpack_from(program, offset))
        if header[0] == _PT_LOAD:
            header[3] = address | header[2] & 0xFFF
            _PROGRAM_HEADER.pack_into(changed, offset, *header)
            return bytes(changed)
        offset += _PROGRAM_HEADER.size


def _loader(program: str) -> str:
    output = subprocess.run(["readelf", "-lW", program], check=True, capture_output=True, text=True).stdout
    match = re.search(r"Requesting program interpreter: (.+)\]", output)
    if not match:
        raise RuntimeError(f"{program} has no interpreter:\n{output}")
    return match[1]
