"""The kernel's decision whether a caller may execute a file, made again from permission bits and ACL.

In the order of inode_permission() (fs/namei.c): owner, ACL, group, others, then the capabilities that
override them.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from execwhy.bpf.events.record import ExecFailure

CAP_DAC_OVERRIDE: Final = 1 << 1
CAP_DAC_READ_SEARCH: Final = 1 << 2
CAP_SYS_ADMIN: Final = 1 << 21
CAP_SYS_RESOURCE: Final = 1 << 24

ALL_IDS: Final = 2**32 - 1
"""The number of ids in the first user namespace (uid_map in user_namespaces(7))."""

_EXECUTE: Final = 1
_ACL_VERSION: Final = 2
_USER_OBJ, _USER, _GROUP_OBJ, _GROUP, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
_MAX_ENTRIES: Final = 1024


Ranges = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Credentials:
    """For whom the kernel checks file permissions.

    Attributes:
        fsuid: The user.
        fsgid: The group.
        groups: The supplementary groups; None if not all of them are known.
        capabilities: The effective capabilities.
        uid_ranges: The user ids of a foreign user namespace at the look, as (first, count) of the initial
            namespace's ids; None if they are not known. At the exec they may have been others: a caller can
            enter a namespace below its own at any time, and an empty map can be written later.
        gid_ranges: The group ids, in the same way.
        is_foreign: The user namespace is not the first one, so capabilities count only for files whose owner
            and group are in it.
    """

    fsuid: int
    fsgid: int
    groups: tuple[int, ...] | None
    capabilities: int
    uid_ranges: Ranges | None = None
    gid_ranges: Ranges | None = None
    is_foreign: bool = False

    @classmethod
    def of(cls, record: ExecFailure) -> Credentials:
        """Return the caller's credentials, as the kernel program read them."""
        return cls(
            record.fsuid,
            record.fsgid,
            record.groups,
            record.capabilities,
            is_foreign=record.foreign_user_ns,
        )

    def has_group(self, gid: int) -> bool | None:
        """Return whether the caller is in a group; None if that is not known."""
        if gid == self.fsgid or gid in (self.groups or ()):
            return True
        return None if self.groups is None else False

    def overrides(self, capability: int, status: os.stat_result) -> bool:
        """Return whether a capability counts for a file: its owner and group must be in the user namespace.

        capable_wrt_inode_uidgid() of kernel/capability.c.
        """
        if not self.capabilities & capability:
            return False
        if not self.is_foreign:
            return True
        return _has(self.uid_ranges, status.st_uid) and _has(self.gid_ranges, status.st_gid)

    @property
    def has_all_ids(self) -> bool | None:
        """Whether its user namespace is the first one, or has as many ids; None if that is not known.

        If it has them at the look, it had them at the exec: a namespace below another one has no more ids.
        """
        if not self.is_foreign:
            return True
        return None if self.uid_ranges is None else sum(count for _, count in self.uid_ranges) >= ALL_IDS


def _has(ranges: Ranges | None, number: int) -> bool:
    return ranges is None or any(first <= number < first + count for first, count in ranges)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the permission bits say.

    Attributes:
        allowed: Whether they allow it; None if that depends on a group that is not known.
        by: The entry that decided, a sentence: "The permission bits for the owner apply."
        class_: Whose bits those are, as chmod(1) calls them: "u", "g" or "o"; "a" if all lack the permission,
            "" if an ACL decides.
        by_namespace: The ids that the caller's user namespace had decide, which the look does not show.
    """

    allowed: bool | None
    by: str
    class_: str = ""
    by_namespace: bool = False


def may_execute(who: Credentials, status: os.stat_result, acl: bytes | None) -> Verdict:
    """Return whether ``who`` may execute a file, or search a directory.

    Args:
        who: The caller.
        status: The file or directory.
        acl: Its raw system.posix_acl_access; None if it has none.
    """
    verdict = _by_bits(who, status, acl)
    if verdict.allowed:
        return verdict
    overriding = CAP_DAC_OVERRIDE
    if stat.S_ISDIR(status.st_mode):
        overriding |= CAP_DAC_READ_SEARCH
        by = "A capability overrides the permissions of directories."
    elif not status.st_mode & 0o111:
        # Nobody may: even root needs one execute bit, of any class (generic_permission).
        return Verdict(False, "No execute bit is set.", "a")
    else:
        by = "The capability CAP_DAC_OVERRIDE applies."
    if who.overrides(overriding, status):
        verdict = Verdict(True, by)
    return replace(verdict, by_namespace=who.is_foreign and bool(who.capabilities & overriding))


def _by_bits(who: Credentials, status: os.stat_result, acl: bytes | None) -> Verdict:
    mode = status.st_mode
    if who.fsuid == status.st_uid:
        return Verdict(bool(mode >> 6 & _EXECUTE), "The permission bits for the owner apply.", "u")
    if acl is not None and mode & 0o070:
        verdict = _by_acl(who, status, acl)
        if verdict is not None:
            return verdict
    member = who.has_group(status.st_gid)
    group, other = bool(mode >> 3 & _EXECUTE), bool(mode & _EXECUTE)
    if member is None and group != other:
        return Verdict(None, "Whether it belongs to the file's group is not known.")
    if member:
        return Verdict(group, "The permission bits for the group apply.", "g")
    return Verdict(other, "The permission bits for others apply.", "o")


def _by_acl(who: Credentials, status: os.stat_result, acl: bytes) -> Verdict | None:
    """Decide by an ACL, for a caller who is not the owner (posix_acl_permission, fs/posix_acl.c)."""
    entries = list(_entries(acl))
    mask = next((permissions for tag, permissions, _ in entries if tag == _MASK), 0o7)
    in_group = unknown = False
    for tag, permissions, number in entries:
        allowed = bool(permissions & _EXECUTE)
        if tag == _USER and number == who.fsuid:
            return _masked(allowed, mask, f"ACL entry of user {number}")
        if tag in (_GROUP_OBJ, _GROUP):
            gid = status.st_gid if tag == _GROUP_OBJ else number
            member = who.has_group(gid)
            if member and allowed:
                return _masked(True, mask, f"ACL entry of group {gid}")
            in_group = in_group or bool(member)
            unknown = unknown or (member is None and allowed)
        elif tag == _OTHER:
            if unknown:
                return Verdict(None, "Whether it belongs to a group of the ACL is not known.")
            if in_group:
                return Verdict(False, "The ACL entries of its groups apply.")
            return Verdict(allowed, "The ACL entry for others applies.")
    return None


def _masked(allowed: bool, mask: int, entry: str) -> Verdict:
    if allowed and not mask & _EXECUTE:
        return Verdict(False, f"The ACL's mask takes the permission away from the {entry}.")
    return Verdict(allowed, f"The {entry} applies.")


def _entries(acl: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield tag, permissions and id of each entry (include/uapi/linux/posix_acl_xattr.h)."""
    if len(acl) < 4 or struct.unpack_from("<I", acl)[0] != _ACL_VERSION:
        return
    for at in range(4, min(len(acl) - 7, 4 + 8 * _MAX_ENTRIES), 8):
        yield struct.unpack_from("<HHI", acl, at)
