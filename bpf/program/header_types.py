"""Offsets of members of the kernel's structures from installed kernel headers, for kernels without BTF.

A small program is compiled against the headers, which bcc finds by itself. Its instructions load the numbers
and nothing else.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterable
from typing import Final

from execwhy.bpf.program.headers import kernel_version
from execwhy.bpf.program.members import BY_VERSION, SIZES, macro_name, members, spans

_INCLUDES: Final = (
    "ptrace", "sched", "sched/signal", "sched/task", "mm_types", "cred", "fs", "fs_struct", "fdtable",
    "mount", "dcache", "path", "nsproxy", "pid", "pid_namespace", "user_namespace", "ns_common",
    "tty", "binfmts", "cgroup-defs", "kernfs",
)  # fmt: skip
_PRIVATE: Final = """
struct mount { /* the beginning of fs/mount.h's */
    struct hlist_node mnt_hash;
    struct mount *mnt_parent;
    struct dentry *mnt_mountpoint;
    struct vfsmount mnt;
};
struct mnt_namespace {
#if LINUX_VERSION_CODE < KERNEL_VERSION(5, 11, 0)
    atomic_t count;
#endif
    struct ns_common ns;
    struct mount *root;
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 8, 0)
    struct list_head list;
#if LINUX_VERSION_CODE >= KERNEL_VERSION(5, 8, 0)
    spinlock_t ns_lock;
#endif
#else
    struct rb_root mounts;
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 14, 0)
    struct rb_node *mnt_last_node;
    struct rb_node *mnt_first_node;
#endif
#endif
    struct user_namespace *user_ns;
};
"""
"""Structures that the installed headers lack, because they are private to the kernel's fs directory."""

_NAMES: Final = {
    "start_boottime|real_start_time": (5, 5),
    "parent|__parent": (6, 15),
    "i_ctime|__i_ctime": (6, 6),
}
"""Members with two names, and the first Linux version with the newer one."""
_FLAT_CTIME: Final = (6, 11)
"""The first Linux version with inode.i_ctime_sec and i_ctime_nsec."""

_INSTRUCTION: Final = struct.Struct("<BBhi")
_MOVE_NUMBER_TO_R0: Final = (0xB7, 0)
FUNCTION: Final = "numbers"


class HeaderError(Exception):
    """The headers do not have the offsets; the message is one sentence that says what to do."""


def header_offsets(compiled: Callable[[str], bytes]) -> dict[str, int]:
    """Return all offsets and sizes that the BPF program needs, named as by ``bpf.program.btf.offsets``.

    Args:
        compiled: Compiles a program's text against the installed headers, and returns the instructions of
            its function ``FUNCTION``; raises HeaderError.

    Raises:
        HeaderError: The headers are missing, or lack a structure.
    """
    release = os.uname().release
    version = kernel_version(release)[:2]
    wanted = {macro_name(member): _offset(member, version) for member in members()}
    for name, (flat, nested) in BY_VERSION.items():
        wanted[name] = _offset(flat if version >= _FLAT_CTIME else nested, version)
    wanted |= {f"SIZE_{name}": f"sizeof(struct {name})" for name in SIZES}
    numbers = _numbers(compiled(_text(wanted.values())))
    found = dict(zip(wanted, numbers, strict=False))
    if len(found) < len(wanted):
        raise HeaderError(f"the headers of {release} do not have the kernel's types: install BTF or others.")
    return found | spans(found)


def _offset(member: str, version: tuple[int, int]) -> str:
    structure, *names = member.split(".")
    path = ".".join(_name(name, version) for name in names)
    return f"__builtin_offsetof(struct {structure}, {path})"


def _name(names: str, version: tuple[int, int]) -> str:
    if "|" not in names:
        return names
    first, second = names.split("|")
    is_new = version >= _NAMES[names]
    newer_is_first = first == "start_boottime"
    return first if is_new == newer_is_first else second


def _text(expressions: Iterable[str]) -> str:
    includes = "".join(f"#include <linux/{name}.h>\n" for name in _INCLUDES)
    body = "".join(f'    asm volatile("r0 = %0" : : "i"({text}));\n' for text in expressions)
    return f"{includes}{_PRIVATE}\nint {FUNCTION}(void *ctx)\n{{\n{body}    return 0;\n}}\n"


def _numbers(instructions: bytes) -> list[int]:
    return [
        operand
        for operation, registers, _, operand in _INSTRUCTION.iter_unpack(instructions)
        if (operation, registers) == _MOVE_NUMBER_TO_R0
    ]
