"""The BPF program's tables in the kernel, found by name, since their descriptors are not passed on."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from typing import Final

from execwhy.bpf.program.limits import HOLDING_BITS
from tests.live.exec_child import libc

STATE: Final = frozenset(("execs", "interpreters", "copies", "kernel_calls", "recorded_early"))
"""Tables of execs under way: empty if there are none."""

SEARCHERS: Final = "searchers"
"""The table of living tasks whose last exec failed."""

HOLDINGS: Final = "holdings"
"""The table of how many entries each user holds in them."""

_SYS_BPF: Final = 321
_LOOKUP, _UPDATE, _DELETE, _GET_NEXT_KEY, _GET_NEXT_ID, _FD_BY_ID, _INFO_BY_FD = 1, 2, 3, 4, 12, 14, 15
_LARGEST_VALUE: Final = 4096
_ATTRIBUTES_SIZE: Final = 144
_INFO: Final = struct.Struct("<IIIIII16s")
"""The beginning of struct bpf_map_info (include/uapi/linux/bpf.h)."""
_KEY_SIZE: Final = 8
_HOLDING: Final = struct.Struct("<IIIxxxx")
"""struct holding of bpf/program/users.c."""
_GOLDEN_RATIO: Final = 0x9E37_79B9_7F4A_7C15
"""2^64 divided by it."""


def newest_table() -> int:
    """Return the id of the newest table; 0 if there is none. Ids only grow."""
    newest = 0
    while (one := _next_id(newest)) is not None:
        newest = one
    return newest


class Tables:
    """The tables created after a given one."""

    def __init__(self, newest_before: int) -> None:
        """Find them, given ``newest_table`` of before the program was loaded."""
        self._descriptors: dict[str, int] = {}
        one: int | None = newest_before
        while one is not None and (one := _next_id(one)) is not None:
            descriptor = _bpf(_FD_BY_ID, struct.pack("<I", one))[0]
            self._descriptors[_name(descriptor)] = descriptor

    @property
    def state(self) -> frozenset[str]:
        """Return which tables of execs under way exist."""
        return STATE & set(self._descriptors)

    def entries(self, name: str) -> int:
        """Return how many entries one of them has."""
        key, following = ctypes.create_string_buffer(_KEY_SIZE), ctypes.create_string_buffer(_KEY_SIZE)
        count, before = 0, 0
        descriptor = self._descriptors[name]
        while True:
            attributes = struct.pack("<IxxxxQQ", descriptor, before, ctypes.addressof(following))
            try:
                _bpf(_GET_NEXT_KEY, attributes)
            except FileNotFoundError:
                return count
            count += 1
            key.raw = following.raw
            before = ctypes.addressof(key)

    def fill(self, name: str, room: int = 0) -> None:
        """Leave room for this many entries in one of them, by adding entries of tasks that do not exist."""
        key = ctypes.create_string_buffer(_KEY_SIZE)
        value = ctypes.create_string_buffer(_LARGEST_VALUE)
        attributes = (self._descriptors[name], ctypes.addressof(key), ctypes.addressof(value), 0)
        number = 0
        while True:
            key.raw = struct.pack("<Q", number + 1)
            try:
                _bpf(_UPDATE, struct.pack("<IxxxxQQQ", *attributes))
            except OSError as error:
                if error.errno != errno.E2BIG:
                    raise
                break
            number += 1
        assert room <= number, f"{name} has no room for {room}"
        self.make_room(name, room)

    def make_room(self, name: str, room: int) -> None:
        """Delete this many of the entries that ``fill`` has made."""
        key = ctypes.create_string_buffer(_KEY_SIZE)
        for one in range(1, room + 1):
            key.raw = struct.pack("<Q", one)
            _bpf(_DELETE, struct.pack("<IxxxxQ", self._descriptors[name], ctypes.addressof(key)))

    def held(self) -> tuple[int, int, int]:
        """Return how many execs, copies and searches all users hold according to the table."""
        execs = copies = searches = 0
        for place in range(1 << HOLDING_BITS):
            one = self._held_at(place)
            execs, copies, searches = execs + one[0], copies + one[1], searches + one[2]
        return execs, copies, searches

    def held_by(self, user: int) -> tuple[int, int, int]:
        """Return how many one user holds according to the table."""
        return self._held_at(_place_of(user))

    def set_held(self, user: int, execs: int, copies: int) -> None:
        """Make the table say that a user has this many execs and copies, and no searches."""
        key = ctypes.create_string_buffer(struct.pack("<I", _place_of(user)), 4)
        value = ctypes.create_string_buffer(_HOLDING.pack(execs, copies, 0), _HOLDING.size)
        attributes = (self._descriptors[HOLDINGS], ctypes.addressof(key), ctypes.addressof(value), 0)
        _bpf(_UPDATE, struct.pack("<IxxxxQQQ", *attributes))

    def _held_at(self, place: int) -> tuple[int, int, int]:
        key = ctypes.create_string_buffer(struct.pack("<I", place), 4)
        value = ctypes.create_string_buffer(_HOLDING.size)
        attributes = (self._descriptors[HOLDINGS], ctypes.addressof(key), ctypes.addressof(value), 0)
        _bpf(_LOOKUP, struct.pack("<IxxxxQQQ", *attributes))
        execs, copies, searches = _HOLDING.unpack(value.raw)
        return execs, copies, searches

    def close(self) -> None:
        """Let go of them: the kernel keeps a table for as long as somebody has it open."""
        for descriptor in self._descriptors.values():
            os.close(descriptor)


def _place_of(user: int) -> int:
    """Return a user's place in the table of holdings: ``hash_of`` of bpf/program/base.c."""
    return (user * _GOLDEN_RATIO & 0xFFFF_FFFF_FFFF_FFFF) >> 64 - HOLDING_BITS


def _name(descriptor: int) -> str:
    info = ctypes.create_string_buffer(_ATTRIBUTES_SIZE)
    _bpf(_INFO_BY_FD, struct.pack("<IIQ", descriptor, len(info), ctypes.addressof(info)))
    name: bytes = _INFO.unpack_from(info)[-1]
    return name.rstrip(b"\0").decode()


def _next_id(one: int) -> int | None:
    try:
        _, attributes = _bpf(_GET_NEXT_ID, struct.pack("<II", one, 0))
    except FileNotFoundError:
        return None
    following: int = struct.unpack_from("<4xI", attributes)[0]
    return following


def _bpf(command: int, attributes: bytes) -> tuple[int, bytes]:
    buffer = ctypes.create_string_buffer(attributes, _ATTRIBUTES_SIZE)
    result = libc.syscall(_SYS_BPF, command, buffer, _ATTRIBUTES_SIZE)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return int(result), buffer.raw
