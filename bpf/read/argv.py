"""argv and envp of a record: from the kernel's own copy or, without one, from the caller's memory."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from execwhy.bpf.events.known import Known
from execwhy.bpf.events.record import ArgumentsSource, Truncated
from execwhy.bpf.program import layout
from execwhy.bpf.read.kernel_copy import Copied, split

NO_LIMITS: Final = (1 << 30, 1 << 30)
_ELEMENT: Final = struct.Struct("<H")

_KNOWN_BYTES: Final = 256 << 10
"""Bytes of sections whose decoded form is kept: some hundred environments, since most of them repeat.

Decoded, a section with many short strings takes up to 16 times as much."""

Strings = tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class KernelCopy:
    """The arguments in the kernel's struct linux_binprm.

    Attributes:
        block: The beginning of its copy of argv and envp; empty if there is none.
        total: Bytes of the whole copy.
        argc: Number of arguments that were passed. It can be UNKNOWN, as can the next two.
        envc: Number of variables that were passed.
        copied_argc: Number of arguments in the copy.
        rewritten: A ``#!`` line was followed, so the copy has other arguments.
    """

    block: bytes
    total: int
    argc: int
    envc: int
    copied_argc: int
    rewritten: bool


@dataclass(frozen=True, slots=True)
class Arguments:
    """argv and envp, their missing parts, and the source of argv."""

    arguments: Strings
    environment: Strings
    truncated: Truncated
    source: ArgumentsSource


def arguments_of(
    arguments: bytes,
    environment: bytes,
    copy: KernelCopy,
    *,
    counts: tuple[int, int],
    too_long: tuple[int, int],
    bits: int,
    limits: tuple[int, int],
) -> Arguments:
    """Combine the sections of a record.

    Args:
        arguments: The section of the caller's argv.
        environment: The section of the caller's envp.
        copy: The kernel's copy.
        counts: argc and envc in the caller's memory.
        too_long: Index of the first argument and of the first variable that is too long; UNKNOWN if none is.
        bits: The record's bits.
        limits: Bytes of argv and envp to keep of the kernel's copy.
    """
    argv, cut_arguments = elements(arguments)
    envp, cut_environment = elements(environment)
    # Since 5.18 the kernel replaces an empty argv by one empty string.
    is_empty = counts[0] == 0 and copy.argc == 1
    argc = 0 if is_empty else _known(copy.argc, counts[0])
    envc = _known(copy.envc, counts[1])
    source = _source(argv, envp, bits)
    argv_is_cut = bool(cut_arguments) or bool(bits & (layout.ARGUMENTS_CUT | layout.ARGUMENTS_UNREAD))
    envp_is_cut = bool(cut_environment) or bool(bits & (layout.ENVIRONMENT_CUT | layout.ENVIRONMENT_UNREAD))
    # If the numbers differ, another thread has changed the memory after the kernel had counted.
    argv_is_cut |= argc is not None and len(argv) != argc
    envp_is_cut |= envc is not None and len(envp) != envc
    copied = _from_copy(copy, argv, limits)
    if copied is not None:
        of_argv, of_envp = copied
        # There is one source for both: if the copy did not reach envp, envp is still from the caller's
        # memory.
        source = "user" if of_envp is None else "kernel"
        argv, cut_arguments, argv_is_cut = _text(of_argv)
        if is_empty:
            argv, cut_arguments, argv_is_cut = (), (), False
        if of_envp is not None:
            envp, cut_environment, envp_is_cut = _text(of_envp)
    truncated = Truncated(
        arguments=argv_is_cut,
        environment=envp_is_cut,
        argc=argc,
        envc=envc,
        argument_indexes=cut_arguments,
        environment_indexes=cut_environment,
        long_argument=_found(too_long[0]),
        long_variable=_found(too_long[1]),
    )
    return Arguments(argv, envp, truncated, source)


def _found(index: int) -> int | None:
    return None if index == layout.UNKNOWN else index


def _known(of_kernel: int, of_caller: int) -> int | None:
    count = of_caller if of_kernel == layout.UNKNOWN else of_kernel
    return None if count == layout.UNKNOWN else count


def _from_copy(
    copy: KernelCopy, argv: Strings, limits: tuple[int, int]
) -> tuple[Copied, Copied | None] | None:
    counts = (copy.argc, copy.envc, copy.copied_argc)
    if not copy.block or layout.UNKNOWN in counts:
        return None
    if copy.rewritten and copy.argc == copy.copied_argc:
        return None  # the arguments were not counted before the #! line was followed
    first = argv[0].encode("utf-8", "surrogateescape") if argv and argv[0] is not None else None
    return split(copy.block, copy.total, counts, first, limits)


def _text(copied: Copied) -> tuple[Strings, tuple[int, ...], bool]:
    strings = tuple(None if string is None else _decoded(string) for string in copied.strings)
    return strings, copied.cut, copied.is_truncated


def _decoded(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _elements(section: bytes) -> tuple[Strings, tuple[int, ...]]:
    """Return the strings of a section, and the indexes of those that were cut."""
    strings: list[str | None] = []
    cut: list[int] = []
    begun = b""
    at = 0
    while at + 2 <= len(section):
        (length,) = _ELEMENT.unpack_from(section, at)
        at += 2
        if length == layout.UNREAD:
            # If only the rest of a string could not be read, its beginning is kept, and marked as cut.
            if begun:
                cut.append(len(strings))
            strings.append(_decoded(begun) if begun else None)
            begun = b""
            continue
        size = length & ~layout.CONTINUED
        begun += section[at : at + size]
        at += size
        if not length & layout.CONTINUED:
            strings.append(_decoded(begun))
            begun = b""
    if begun:
        cut.append(len(strings))
        strings.append(_decoded(begun))
    return tuple(strings), tuple(cut)


elements: Final = Known(_elements, _KNOWN_BYTES, len).__getitem__


def _source(argv: Strings, envp: Strings, bits: int) -> ArgumentsSource:
    """Return the source of argv, or of envp if argv is empty."""
    strings = argv or (() if bits & layout.ARGUMENTS_UNREAD else envp)
    whose: ArgumentsSource = "kernel" if bits & layout.KERNEL_INVOKED else "user"
    if strings:
        return "unreadable" if all(string is None for string in strings) else whose
    return "unreadable" if bits & (layout.ARGUMENTS_UNREAD | layout.ENVIRONMENT_UNREAD) else whose
