"""Give up privileges for good.

A separate process compiles, loads and attaches (``bpf.load.loader``). So the monitor keeps only the
capabilities that diagnosis needs for reading, and becomes the user behind sudo before it shows or reads
anything. Capabilities belong to threads: this happens while there is only one, and all others inherit it.
"""

from __future__ import annotations

import ctypes
import os
import pwd
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

CAP_DAC_READ_SEARCH: Final = 2
"""To look at files and directories that the user may not read: execs often fail because of them."""
CAP_SETPCAP: Final = 8
CAP_SYS_PTRACE: Final = 19
"""To follow /proc/PID/root, cwd, fd and ns of other users. That takes no setns, so no CAP_SYS_ADMIN."""

FOR_DIAGNOSIS: Final = frozenset((CAP_DAC_READ_SEARCH, CAP_SYS_PTRACE))
FOR_READING_A_FILE: Final = frozenset((CAP_DAC_READ_SEARCH,))

_NO_ID: Final = 0xFFFFFFFF
"""(uid_t)-1 is not an id: to chown(2) and setresuid(2) it means "unchanged"."""

_PR_SET_DUMPABLE: Final = 4
_PR_SET_KEEPCAPS: Final = 8
_PR_CAPBSET_READ: Final = 23
_PR_CAPBSET_DROP: Final = 24
_PR_SET_SECUREBITS: Final = 28
_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_CAP_AMBIENT: Final = 47
_PR_CAP_AMBIENT_CLEAR_ALL: Final = 4
"""include/uapi/linux/prctl.h."""

_ROOT_IS_NOTHING_SPECIAL: Final = 0x1 | 0x2 | 0x40 | 0x80
"""SECBIT_NOROOT and SECBIT_NO_CAP_AMBIENT_RAISE, each with its lock (include/uapi/linux/securebits.h)."""

_CAPABILITY_VERSION_3: Final = 0x20080522
_EFFECTIVE, _PERMITTED, _INHERITABLE = 0, 1, 2
_LAST_POSSIBLE: Final = 63


class PrivilegeError(Exception):
    """Privileges could not be given up; the message is one sentence that says what to do."""


@dataclass(frozen=True, slots=True)
class User:
    """The user that the monitor becomes: uid, gid and supplementary groups."""

    uid: int
    gid: int
    groups: tuple[int, ...]


def behind_sudo(environment: Mapping[str, str]) -> tuple[int, int] | None:
    """Return the uid and gid of the user who called sudo; None if sudo set none, or invalid ones."""
    uid, gid = (_id(environment.get(name, "")) for name in ("SUDO_UID", "SUDO_GID"))
    return None if uid is None or gid is None else (uid, gid)


def _id(text: str) -> int | None:
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        return None
    number = int(text)
    return number if number < _NO_ID else None


def user_behind_sudo(environment: Mapping[str, str]) -> User | None:
    """Return the user who called sudo, with their groups in the system's database."""
    found = behind_sudo(environment)
    if found is None:
        return None
    uid, gid = found
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        return User(uid, gid, (gid,))
    return User(uid, gid, tuple(os.getgrouplist(name, gid)))


def user_of_the_system(uid: int) -> User:
    """Return the user with an id from the system's database.

    Raises:
        KeyError: There is no such user.
    """
    found = pwd.getpwuid(uid)
    return User(uid, found.pw_gid, tuple(os.getgrouplist(found.pw_name, found.pw_gid)))


def drop(user: User | None, kept: Collection[int]) -> None:
    """Become a user, with at most these capabilities, for good.

    No later exec, set-user-ID program or uid 0 restores anything. The user can neither dump nor trace the
    process, whose memory holds the arguments of other users' programs.

    Args:
        user: The user to become; None keeps the current one.
        kept: Capabilities to keep, by number, as far as the process has them.

    Raises:
        PrivilegeError: The kernel refused, or there are other threads.
    """
    try:
        threads = os.listdir("/proc/self/task")
    except FileNotFoundError:
        raise PrivilegeError("there is no /proc here: mount it, since looking for causes needs it.") from None
    if len(threads) != 1:
        raise PrivilegeError(_sentence("other threads run already"))
    try:
        held = _held()
        _prctl(_PR_SET_NO_NEW_PRIVS, 1)
        _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
        if held >> CAP_SETPCAP & 1:
            _cut_bounding_set(kept)
            _prctl(_PR_SET_SECUREBITS, _ROOT_IS_NOTHING_SPECIAL)
        if user is not None:
            _prctl(_PR_SET_KEEPCAPS, 1)
            os.setgroups(user.groups)
            os.setresgid(user.gid, user.gid, user.gid)
            os.setresuid(user.uid, user.uid, user.uid)
            _prctl(_PR_SET_KEEPCAPS, 0)
        _set_capabilities(held & sum(1 << number for number in kept))
        _prctl(_PR_SET_DUMPABLE, 0)
    except OSError as error:
        raise PrivilegeError(_sentence(os.strerror(error.errno or 0))) from error


def _sentence(reason: str) -> str:
    return (
        f"root's privileges cannot be given up here ({reason}): --keep-privileges goes on with all of them."
    )


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


_Sets = ctypes.c_uint32 * 6
"""Effective, permitted, inheritable of capabilities 0 to 31, then of 32 to 63 (capget(2))."""

_libc: Final = ctypes.CDLL(None, use_errno=True)


def _check(result: int) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _prctl(option: int, value: int) -> None:
    zero = ctypes.c_ulong(0)
    _check(_libc.prctl(option, ctypes.c_ulong(value), zero, zero, zero))


def _cut_bounding_set(kept: Collection[int]) -> None:
    for number in range(_LAST_POSSIBLE + 1):
        zero = ctypes.c_ulong(0)
        known = _libc.prctl(_PR_CAPBSET_READ, ctypes.c_ulong(number), zero, zero, zero)
        if known < 0:  # beyond the last one that this kernel has
            return
        if known and number not in kept:
            _prctl(_PR_CAPBSET_DROP, number)


def _held() -> int:
    sets = _Sets()
    _check(_libc.capget(ctypes.byref(_Header(_CAPABILITY_VERSION_3, 0)), ctypes.byref(sets)))
    return int(sets[_PERMITTED]) | int(sets[_PERMITTED + 3]) << 32


def _set_capabilities(held: int) -> None:
    sets = _Sets()
    for half in range(2):
        sets[half * 3 + _EFFECTIVE] = sets[half * 3 + _PERMITTED] = held >> half * 32 & 0xFFFFFFFF
        sets[half * 3 + _INHERITABLE] = 0
    _check(_libc.capset(ctypes.byref(_Header(_CAPABILITY_VERSION_3, 0)), ctypes.byref(sets)))
