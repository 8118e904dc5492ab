"""Make the kernel start a program itself."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress

CORE_PATTERN = "/proc/sys/kernel/core_pattern"
MODPROBE = "/proc/sys/kernel/modprobe"

FAMILY_WITHOUT_MODULE = 43
"""A socket family (AF_SMC) that the kernel asks modprobe for."""


@contextmanager
def dumping_to(handler: str) -> Iterator[None]:
    """Have the kernel start a program for each process that dumps core."""
    with open(CORE_PATTERN) as file:
        before = file.read()
    try:
        with open(CORE_PATTERN, "w") as file:
            file.write(f"|{handler} %P two")
        yield
    finally:
        with open(CORE_PATTERN, "w") as file:
            file.write(before)


def crash() -> int:
    """Let a process dump core; return its pid after it has ended."""
    with subprocess.Popen(["/bin/sh", "-c", "kill -ABRT $$"]) as process:
        process.wait()
    return process.pid


@contextmanager
def looking_for_modules_with(program: str) -> Iterator[str]:
    """Have the kernel start a program to look for a module; gives that module's name."""
    with open(MODPROBE) as file:
        before = file.read()
    try:
        with open(MODPROBE, "w") as file:
            file.write(program)
        with suppress(OSError):
            socket.socket(FAMILY_WITHOUT_MODULE, socket.SOCK_STREAM).close()
        yield f"net-pf-{FAMILY_WITHOUT_MODULE}"
    finally:
        with open(MODPROBE, "w") as file:
            file.write(before)
