"""Which types of file systems may be looked into: those that cannot keep anybody waiting.

The list names the safe types, since new types are invented. It has those that the kernel serves by itself,
from memory or from a disk. All others wait for somebody: FUSE for a process of any user, network and cluster
file systems for a server, 9p and virtiofs for the host, ecryptfs and other stacked ones for those below them.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator
from typing import Final

DISKS: Final = frozenset(
    {
        *("bcachefs", "btrfs", "cramfs", "erofs", "exfat", "ext2", "ext3", "ext4", "f2fs", "hfs", "hfsplus"),
        *("iso9660", "jffs2", "jfs", "minix", "msdos", "nilfs2", "ntfs", "ntfs3", "reiserfs", "romfs"),
        *("squashfs", "ubifs", "udf", "vfat", "xfs", "zfs"),
    }
)
MEMORY: Final = frozenset({"devtmpfs", "ramfs", "rootfs", "tmpfs"})
KERNEL: Final = frozenset({"cgroup", "cgroup2", "devpts", "mqueue", "proc", "securityfs", "sysfs"})
"""Reading their files has an effect, or takes locks that others hold: /proc/kmsg returns each line once, and
/proc/PID/environ waits for the process's mmap_lock. A lookup or fstat does neither, except in
/proc/PID/map_files."""

_USER_BLOCK_DEVICES: Final = ("7:", "43:")
"""Loop and network block devices."""

_LAYERS: Final = frozenset({b"lowerdir", b"lowerdir+", b"datadir+", b"upperdir"})
_BETWEEN: Final = re.compile(rb"(?<!\\134):")


class Access(enum.IntEnum):
    """How much of a file system may be looked at."""

    NONE = 0
    """Nothing: not even a lookup or fstat."""

    WALK = 1
    """Names and inodes; no file is opened."""

    READ = 2
    """Content, too."""


def access(kind: str, device: str, options: frozenset[str]) -> Access:
    """Return what may be looked at on a mount of this type, other than overlayfs.

    A loop device mounted without set-user-ID bits may be one that udisks created for a user from a file on
    the user's own FUSE server. Mounts by root or snapd have these bits.
    """
    if kind in DISKS:
        foreign = "nosuid" in options and device.startswith(_USER_BLOCK_DEVICES)
        return Access.NONE if foreign else Access.READ
    if kind in MEMORY:
        return Access.READ
    return Access.WALK if kind in KERNEL else Access.NONE


def layers(options: bytes) -> Iterator[bytes]:
    """Yield the paths of an overlay's layers from its options in mountinfo, with their escapes."""
    for option in options.split(b","):
        name, _, value = option.partition(b"=")
        if name in _LAYERS:
            # A colon in a path has a backslash in front, which mountinfo writes as \134.
            yield from (layer.replace(rb"\134:", b":") for layer in _BETWEEN.split(value) if layer)
