"""The small header tree that bcc's compiler asks for, made without kernel headers.

bcc 0.26 looks for a kernel's build tree (BCC_KERNEL_SOURCE, else /lib/modules) and puts its own
bpf.h and helpers.h in front of every program; those two include what is written here. Everything
else that the program needs of the kernel comes from ``bpf.btf`` as numbers.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
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

_EMPTY: Final = ("uapi/linux/bpf.h", "uapi/linux/if_packet.h", "linux/log2.h", "linux/bpf_common.h")
EMPTY: Final = os.path.join("include", _EMPTY[0])
"""A file of the tree that is empty."""


def kernel_version(release: str) -> tuple[int, int, int]:
    """("6.1.0-56-amd64") -> (6, 1, 0); a release without three numbers is filled with zeros."""
    numbers = [int(n) for n in re.findall(r"\d+", release)[:3]] + [0, 0, 0]
    return numbers[0], numbers[1], numbers[2]


class HeaderTreeError(Exception):
    """There is no place for the tree; the message is one sentence that says what to do."""


def _new_directory() -> str:
    reasons = []
    for place in _PLACES:
        try:
            return tempfile.mkdtemp(prefix=f"execwhy-{os.getppid()}-", dir=place)
        except OSError as error:
            reasons.append(f"{place}: {os.strerror(error.errno or 0)}")
    raise HeaderTreeError(
        f"no temporary directory can be written ({', '.join(reasons)}): make one of them writable."
    )


@contextmanager
def header_tree() -> Iterator[str]:
    """A directory for BCC_KERNEL_SOURCE, private to this user (mode 0700), removed afterwards.

    It lies where only root, or nobody but its owner (sticky), could put another one in its place; never in
    the working directory or where TMPDIR says.

    Raises:
        HeaderTreeError: No temporary directory can be written.
    """
    root = _new_directory()
    try:
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
        shutil.rmtree(root, ignore_errors=True)
