"""Where the kernel's structures keep their members: from the running kernel's BTF.

BTF is read with libbpf, which libbcc brings along: a Python reader of the 5 MB takes a second,
libbpf a few milliseconds.
"""

from __future__ import annotations

import ctypes as ct
import ctypes.util
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache
from typing import Final

from execwhy.bpf.program.arch.machines import architecture

_MEMBERS: Final = (
    "task_struct.mm",
    "task_struct.tgid",
    "task_struct.real_parent",
    "task_struct.group_leader",
    "task_struct.thread_pid",
    "task_struct.start_boottime|real_start_time",
    "task_struct.cred",
    "task_struct.comm",
    "task_struct.vfork_done",
    "task_struct.fs",
    "task_struct.files",
    "task_struct.nsproxy",
    "task_struct.signal",
    "task_struct.pending.signal",
    "task_struct.cgroups",
    "cred.uid",
    "cred.cap_effective",
    "cred.user_ns",
    "cred.group_info",
    "group_info.ngroups",
    "group_info.gid",
    "mm_struct.arg_start",
    "mm_struct.mm_users",
    "mm_struct.exe_file",
    "vm_area_struct.vm_end",
    "vm_area_struct.vm_mm",
    "vm_area_struct.vm_flags",
    "vm_area_struct.vm_file",
    "vm_area_struct.anon_vma",
    "filename.name",
    "mm_struct.arg_end",
    "fs_struct.root",
    "fs_struct.pwd",
    "path.mnt",
    "path.dentry",
    "mount.mnt",
    "mount.mnt.mnt_root",
    "mount.mnt_parent",
    "mount.mnt_mountpoint",
    "dentry.d_parent",
    "dentry.d_name.name",
    "dentry.d_inode",
    "inode.i_mode",
    "inode.i_ino",
    "inode.i_nlink",
    "files_struct.fdt",
    "fdtable.fd",
    "file.f_inode",
    "file.f_path",
    "nsproxy.mnt_ns",
    "mnt_namespace.ns.inum",
    "mnt_namespace.user_ns",
    "user_namespace.parent",
    "pid.level",
    "pid.numbers",
    "upid.ns",
    "pid_namespace.ns.inum",
    "signal_struct.tty",
    "tty_struct.name",
    "linux_binprm.filename",
    "linux_binprm.interp",
    "linux_binprm.file",
    "linux_binprm.mm",
    "linux_binprm.p",
    "linux_binprm.exec",
    "linux_binprm.argc",
    "linux_binprm.envc",
    "inode.i_size",
    "inode.i_uid",
    "inode.i_gid",
    "inode.i_sb",
    "super_block.s_dev",
    "super_block.s_magic",
    "inode.i_writecount",
    "mm_struct.pgd",
    "css_set.dfl_cgrp",
    "cgroup.kn",
    "kernfs_node.name",
    "kernfs_node.parent|__parent",
)
"""Members that the BPF program reads everywhere, as struct.member; "a|b" is the name by kernel version."""

BY_VERSION: Final = {
    "AT_inode_ctime_sec": ("inode.i_ctime_sec", "inode.i_ctime|__i_ctime.tv_sec"),
    "AT_inode_ctime_nsec": ("inode.i_ctime_nsec", "inode.i_ctime|__i_ctime.tv_nsec"),
}
"""Members that have changed their shape (6.11): the first of these that there is."""

SIZES: Final = ("upid",)
"""Structures whose size it needs."""

_SPANS: Final = {
    "task": (
        "task_struct",
        (
            "real_parent",
            "group_leader",
            "thread_pid",
            "cred",
            "fs",
            "files",
            "nsproxy",
            "signal",
            "pending.signal",
            "cgroups",
        ),
        8,
    ),
    "parent": ("task_struct", ("tgid", "real_parent", "group_leader"), 8),
    "cred": ("cred", ("uid", "cap_effective", "user_ns", "group_info"), 32),
    "fs": ("fs_struct", ("root", "pwd"), 16),
    "file": ("file", ("f_inode", "f_path"), 16),
    "inode": ("inode", ("i_mode", "i_ino", "i_nlink"), 8),
    "dentry": ("dentry", ("d_parent", "d_name.name"), 8),
    "mount": ("mount", ("mnt_parent", "mnt_mountpoint", "mnt.mnt_root"), 8),
    "binary": (
        "inode",
        ("i_mode", "i_uid", "i_gid", "i_sb", "i_ino", "i_size", "ctime_sec", "ctime_nsec"),
        8,
    ),
}
"""Members that are read in one piece, since each read costs 45 ns: by name, the struct, the members and
the bytes to read from the last one on (not more than the structure has)."""

_KIND_STRUCT: Final = 4
_KIND_UNION: Final = 5
_KIND_FUNC: Final = 12
_KINDS_OF_NAMES: Final = {8, 9, 10, 11, 18}  # typedef, volatile, const, restrict, type_tag
_MAX_NESTING: Final = 16


class BtfError(Exception):
    """The running kernel's types cannot be read; the message is one sentence."""


class _Type(ct.Structure):
    """struct btf_type of include/uapi/linux/btf.h."""

    _fields_ = (("name_off", ct.c_uint32), ("info", ct.c_uint32), ("size_or_type", ct.c_uint32))


class _Member(ct.Structure):
    """struct btf_member of include/uapi/linux/btf.h."""

    _fields_ = (("name_off", ct.c_uint32), ("type", ct.c_uint32), ("offset", ct.c_uint32))


def _libbpf() -> ct.CDLL:
    for name in ("libbpf.so.1", "libbpf.so.0", ctypes.util.find_library("bpf")):
        if not name:
            continue
        try:
            library = ct.CDLL(name, use_errno=True)
        except OSError:
            continue
        library.btf__load_vmlinux_btf.restype = ct.c_void_p
        library.btf__free.argtypes = [ct.c_void_p]
        library.btf__find_by_name_kind.argtypes = [ct.c_void_p, ct.c_char_p, ct.c_uint32]
        library.btf__type_by_id.argtypes = [ct.c_void_p, ct.c_uint32]
        library.btf__type_by_id.restype = ct.c_void_p
        library.btf__name_by_offset.argtypes = [ct.c_void_p, ct.c_uint32]
        library.btf__name_by_offset.restype = ct.c_char_p
        # libbpf reports on standard error, which is the operator's screen.
        library.libbpf_set_print(None)
        return library
    raise BtfError("libbpf is missing: install bcc from the distribution (python3-bpfcc), which brings it.")


class Btf:
    """The types of the running kernel. Use as a context manager: it holds 10 MB.

    Raises:
        BtfError: There is no libbpf, or the kernel has no readable BTF.
    """

    def __init__(self) -> None:
        self._library = _libbpf()
        self._btf = self._library.btf__load_vmlinux_btf()
        # libbpf 0.x returns an error as a pointer near the top of memory.
        if not self._btf or self._btf >= 2**64 - 4095:
            self._btf = None
            raise BtfError(
                "there is no /sys/kernel/btf/vmlinux, which kernels have that were built with "
                "CONFIG_DEBUG_INFO_BTF."
            )

    def __enter__(self) -> Btf:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the types; may be called twice."""
        if self._btf:
            self._library.btf__free(self._btf)
            self._btf = None

    def _type(self, type_id: int) -> tuple[int, int, int, int]:
        """Address, kind, number of members and size or type of a type."""
        address = self._library.btf__type_by_id(self._btf, type_id)
        raw = _Type.from_address(address)
        return address, raw.info >> 24 & 0x1F, raw.info & 0xFFFF, raw.size_or_type

    def _find(self, struct: str) -> int:
        found: int = self._library.btf__find_by_name_kind(self._btf, struct.encode(), _KIND_STRUCT)
        if found < 0:
            raise BtfError(f"this kernel's BTF has no struct {struct}.")
        return found

    def size(self, struct: str) -> int:
        """sizeof(struct), in bytes."""
        return self._type(self._find(struct))[3]

    def offset(self, path: str) -> int:
        """Byte offset of a member, as "task_struct.thread_info.status"; anonymous members are looked through.

        Raises:
            BtfError: There is no such member.
        """
        struct, *names = path.split(".")
        type_id, total = self._find(struct), 0
        for name in names:
            found = self._member(type_id, tuple(name.split("|")))
            if found is None:
                raise BtfError(f"this kernel's struct {struct} has no member {'.'.join(names)}.")
            type_id, bits = found
            total += bits // 8
        return total

    def function_id(self, name: str) -> int:
        """BTF id of a kernel function.

        Raises:
            BtfError: The kernel has no such function, or has inlined it everywhere.
        """
        found: int = self._library.btf__find_by_name_kind(self._btf, name.encode(), _KIND_FUNC)
        if found < 0:
            raise BtfError(f"this kernel has no function {name}.")
        return found

    def prototype(self, name: str) -> tuple[int, int]:
        """BTF id of a kernel function's prototype, and how many arguments it has.

        Raises:
            BtfError: There is no such function.
        """
        prototype = self._type(self.function_id(name))[3]
        return prototype, self._type(prototype)[2]

    def first_offset(self, paths: Iterable[str]) -> int:
        """The offset of the first of these members that there is.

        Raises:
            BtfError: There is none.
        """
        error = BtfError("no member was asked for.")
        for path in paths:
            try:
                return self.offset(path)
            except BtfError as missing:
                error = missing
        raise error

    def _member(self, type_id: int, names: tuple[str, ...], depth: int = 0) -> tuple[int, int] | None:
        """Type and bit offset of the first member that has one of the names."""
        address, kind, count, target = self._type(type_id)
        while kind in _KINDS_OF_NAMES:
            address, kind, count, target = self._type(target)
        if kind not in (_KIND_STRUCT, _KIND_UNION) or depth > _MAX_NESTING:
            return None
        for member in (_Member * count).from_address(address + ct.sizeof(_Type)):
            name = self._library.btf__name_by_offset(self._btf, member.name_off).decode()
            bits = member.offset & 0xFFFFFF
            if name in names:
                return member.type, bits
            if not name and (inner := self._member(member.type, names, depth + 1)):
                return inner[0], bits + inner[1]
        return None


def defines(values: Mapping[str, int]) -> str:
    """C #defines of numbers."""
    return "".join(
        f"#define {name} {value}{'ULL' if value >> 32 else ''}\n" for name, value in values.items()
    )


def members() -> tuple[str, ...]:
    """Return the members that the BPF program reads on this machine; raise MachineError if it is unknown."""
    here = architecture()
    return (*here.registers.members, *here.members, *_MEMBERS)


def macro_name(member: str) -> str:
    """The C name of a member's offset: "kernfs_node.parent|__parent" -> "AT_kernfs_node_parent"."""
    return "AT_" + member.split("|", maxsplit=1)[0].replace(".", "_")


@cache
def argument_counts(functions: tuple[str, ...]) -> dict[str, int]:
    """How many arguments kernel functions have, of those that there are.

    Raises:
        BtfError: There is no BTF.
    """
    found = {}
    with Btf() as btf:
        for name in functions:
            with suppress(BtfError):
                found[name] = btf.prototype(name)[1]
    return found


@cache
def offsets() -> dict[str, int]:
    """All offsets and sizes that the BPF program needs, by the names it uses.

    Raises:
        BtfError: They cannot be had.
        MachineError: There is no descriptor of this machine's architecture.
    """
    with Btf() as btf:
        found = {macro_name(member): btf.offset(member) for member in members()}
        found |= {name: btf.first_offset(members) for name, members in BY_VERSION.items()}
        found |= {f"SIZE_{struct}": btf.size(struct) for struct in SIZES}
    return found | spans(found)


def spans(found: Mapping[str, int]) -> dict[str, int]:
    """Start and length of what is read in one piece, from the members' offsets."""
    registers = architecture().registers
    wanted = {"registers": (registers.structure, registers.of_calls, 8), **_SPANS}
    made = {}
    for name, (struct, inside, tail) in wanted.items():
        places = [found[macro_name(f"{struct}.{member}")] for member in inside]
        made[f"START_{name}"] = min(places)
        made[f"SPAN_{name}"] = max(places) + tail - min(places)
    return made
