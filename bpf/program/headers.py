"""A small header tree for bcc's compiler, which replaces kernel headers.

bcc 0.26 looks for a kernel's build tree (BCC_KERNEL_SOURCE, otherwise /lib/modules) and puts its own bpf.h
and helpers.h in front of every program. These two include the files written here. All other facts about the
kernel come from ``bpf.program.btf`` as numbers.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

TYPES: Final = """\
#pragma once
typedef signed char s8, __s8;
typedef unsigned char u8, __u8;
typedef short s16, __s16;
typedef unsigned short u16, __u16, __be16, __le16, __sum16;
typedef int s32, __s32, pid_t;
typedef unsigned int u32, __u32, __be32, __le32, __wsum;
typedef long long s64, __s64;
typedef unsigned long long u64, __u64, __be64, __le64;
typedef __u64 __attribute__((aligned(8))) __aligned_u64;
typedef _Bool bool;
typedef unsigned long size_t, uintptr_t;
#define true 1
#define false 0
#define NULL ((void *)0)
#define __always_inline inline __attribute__((always_inline))
"""

_VERSION: Final = """\
#pragma once
#define KERNEL_VERSION(a, b, c) (((a) << 16) + ((b) << 8) + ((c) > 255 ? 255 : (c)))
#define LINUX_VERSION_CODE KERNEL_VERSION({}, {}, {})
"""

_PLACES: Final = ("/run", "/tmp", "/var/tmp")
_NAME: Final = re.compile(r"execwhy-\d+-\w+", re.ASCII)
_SETTLED: Final = 60.0
"""Seconds after which a tree without a lock must have been left behind by a killed process."""

_GUARD: Final = ("/bin/sh", "-c", 'read -r _; exec /bin/rm -rf -- "$1"', "execwhy-guard")
"""Waits for the end of its standard input, which comes when the process at the other end ends."""

_EMPTY: Final = ("uapi/linux/bpf.h", "uapi/linux/if_packet.h", "linux/log2.h", "linux/bpf_common.h")
EMPTY: Final = os.path.join("include", _EMPTY[0])
"""An empty file of the tree."""


def kernel_version(release: str) -> tuple[int, int, int]:
    """Return the three numbers of a release: (6, 1, 0) for "6.1.0-56-amd64". Missing numbers are zeros."""
    numbers = [int(n) for n in re.findall(r"\d+", release)[:3]] + [0, 0, 0]
    return numbers[0], numbers[1], numbers[2]


class HeaderTreeError(Exception):
    """The tree cannot be written anywhere; the message is one sentence that says what to do."""


def _new_directory() -> str:
    reasons = []
    for place in _PLACES:
        try:
            _remove_left_behind(place)
            return tempfile.mkdtemp(prefix=f"execwhy-{os.getppid()}-", dir=place)
        except OSError as error:
            reasons.append(f"{place}: {os.strerror(error.errno or 0)}")
    raise HeaderTreeError(
        f"no temporary directory can be written ({', '.join(reasons)}): make one of them writable."
    )


@contextmanager
def header_tree() -> Iterator[str]:
    """Make a directory for BCC_KERNEL_SOURCE, private to this user (mode 0700), and remove it afterwards.

    If this process is killed, a small process removes it. If that one is killed, too, the next start does:
    the missing lock shows that nobody uses the tree. It is in a directory where only root or the owner
    (sticky bit) can replace it, never in the working directory or in TMPDIR.

    Raises:
        HeaderTreeError: No temporary directory can be written.
    """
    root = _new_directory()
    guard = _guard(root)
    lock = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        files = dict.fromkeys(_EMPTY, "")
        files["linux/kconfig.h"] = "#define CONFIG_BPF_SYSCALL 1\n"
        files["linux/types.h"] = TYPES
        files["linux/version.h"] = _VERSION.format(*kernel_version(os.uname().release))
        files["asm/page.h"] = f"#define PAGE_SIZE {os.sysconf('SC_PAGE_SIZE')}\n"
        for name, text in files.items():
            path = os.path.join(root, "include", name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="ascii") as file:
                file.write(text)
        yield root
    finally:
        if guard is not None:
            guard.communicate()
        shutil.rmtree(root, ignore_errors=True)
        os.close(lock)


def _guard(root: str) -> subprocess.Popen[bytes] | None:
    """Start the process that removes the tree however this one ends; return None if there is no shell."""
    with suppress(OSError):
        return subprocess.Popen(
            [*_GUARD, root], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            cwd="/", start_new_session=True,
        )  # fmt: skip
    return None


def _remove_left_behind(place: str) -> None:
    """Remove trees of this user that killed processes have left behind."""
    with suppress(OSError), os.scandir(place) as entries:
        for entry in entries:
            if _NAME.fullmatch(entry.name):
                with suppress(OSError):
                    _remove_unless_used(entry.path)


def _remove_unless_used(path: str) -> None:
    status = os.stat(path, follow_symlinks=False)
    is_ours = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()
    if not is_ours or time.time() - status.st_mtime < _SETTLED:
        return
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(path, ignore_errors=True)
    finally:
        os.close(directory)
