"""The members of the kernel's structures that the BPF program reads, and the macros with their offsets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from execwhy.bpf.program.arch.machines import architecture

MEMBERS: Final = (
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
    "fs_struct.users",
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
"""Members that the BPF program reads on every architecture, as struct.member; "a|b": the name depends on the
kernel's version."""

BY_VERSION: Final = {
    "AT_inode_ctime_sec": ("inode.i_ctime_sec", "inode.i_ctime|__i_ctime.tv_sec"),
    "AT_inode_ctime_nsec": ("inode.i_ctime_nsec", "inode.i_ctime|__i_ctime.tv_nsec"),
}
"""Members that have moved (6.11), by macro: the first of these that exists."""

SIZES: Final = ("upid",)
"""Structures whose size the program needs."""

SPANS: Final = {
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
"""Members that are read in one piece, since each read costs 45 ns.

For each name: the structure, the members, and the number of bytes to read from the last one on (no more than
the structure has)."""


def defines(values: Mapping[str, int]) -> str:
    """Return C #defines of numbers."""
    return "".join(
        f"#define {name} {value}{'ULL' if value >> 32 else ''}\n" for name, value in values.items()
    )


def members() -> tuple[str, ...]:
    """Return the members that the BPF program reads on this machine; raise MachineError if it is unknown."""
    here = architecture()
    return (*here.registers.members, *here.members, *MEMBERS)


def macro_name(member: str) -> str:
    """Return the macro of a member's offset: "AT_kernfs_node_parent" for "kernfs_node.parent|__parent"."""
    return "AT_" + member.split("|", maxsplit=1)[0].replace(".", "_")


def spans(found: Mapping[str, int]) -> dict[str, int]:
    """Return the start and length of each piece in ``SPANS``, given the members' offsets."""
    registers = architecture().registers
    wanted = {"registers": (registers.structure, registers.of_calls, 8), **SPANS}
    made = {}
    for name, (struct, inside, tail) in wanted.items():
        places = [found[macro_name(f"{struct}.{member}")] for member in inside]
        made[f"START_{name}"] = min(places)
        made[f"SPAN_{name}"] = max(places) + tail - min(places)
    return made
