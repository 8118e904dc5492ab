"""Read offsets of members of the kernel's structures from the running kernel's BTF.

BTF is read with libbpf, which libbcc depends on: reading the 5 MB in Python takes a second, libbpf takes a
few milliseconds.
"""

from __future__ import annotations

import ctypes as ct
import ctypes.util
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from typing import Final

from execwhy.bpf.program.members import BY_VERSION, SIZES, macro_name, members, spans

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
        # libbpf prints messages to standard error, which is the operator's screen.
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
        """Free the types. May be called twice."""
        if self._btf:
            self._library.btf__free(self._btf)
            self._btf = None

    def _type(self, type_id: int) -> tuple[int, int, int, int]:
        """Return the address, kind, number of members and size (or type) of a type."""
        address = self._library.btf__type_by_id(self._btf, type_id)
        raw = _Type.from_address(address)
        return address, raw.info >> 24 & 0x1F, raw.info & 0xFFFF, raw.size_or_type

    def _find(self, struct: str) -> int:
        found: int = self._library.btf__find_by_name_kind(self._btf, struct.encode(), _KIND_STRUCT)
        if found < 0:
            raise BtfError(f"this kernel's BTF has no struct {struct}.")
        return found

    def size(self, struct: str) -> int:
        """Return the size of a structure, in bytes."""
        return self._type(self._find(struct))[3]

    def offset(self, path: str) -> int:
        """Return the byte offset of a member such as "task_struct.thread_info.status".

        Members of an anonymous structure count as those of the structure around it.

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
        """Return the BTF id of a kernel function.

        Raises:
            BtfError: The kernel has no such function, or it is inlined everywhere.
        """
        found: int = self._library.btf__find_by_name_kind(self._btf, name.encode(), _KIND_FUNC)
        if found < 0:
            raise BtfError(f"this kernel has no function {name}.")
        return found

    def prototype(self, name: str) -> tuple[int, int]:
        """Return the BTF id of a kernel function's prototype, and its number of arguments.

        Raises:
            BtfError: There is no such function.
        """
        prototype = self._type(self.function_id(name))[3]
        return prototype, self._type(prototype)[2]

    def first_offset(self, paths: Iterable[str]) -> int:
        """Return the offset of the first of these members that exists.

        Raises:
            BtfError: None exists.
        """
        error = BtfError("no member was asked for.")
        for path in paths:
            try:
                return self.offset(path)
            except BtfError as missing:
                error = missing
        raise error

    def _member(self, type_id: int, names: tuple[str, ...], depth: int = 0) -> tuple[int, int] | None:
        """Return the type and bit offset of the first member with one of the names."""
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


@cache
def argument_counts(functions: tuple[str, ...]) -> dict[str, int]:
    """Return the number of arguments of those kernel functions that exist, by name.

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
    """Return all offsets and sizes that the BPF program needs, by their macros.

    Raises:
        BtfError: BTF is missing, or lacks a member.
        MachineError: There is no descriptor of this machine's architecture.
    """
    with Btf() as btf:
        found = {macro_name(member): btf.offset(member) for member in members()}
        found |= {name: btf.first_offset(members) for name, members in BY_VERSION.items()}
        found |= {f"SIZE_{struct}": btf.size(struct) for struct in SIZES}
    return found | spans(found)
