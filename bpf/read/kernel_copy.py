"""argv and envp out of the kernel's own copy, which no thread can change any more.

The kernel copies them to the top of the new program's stack: argv's strings, then envp's, each with its
NUL (copy_strings of fs/exec.c). Where a ``#!`` line was followed, argv[0] has given way to the
interpreter, its argument and the script's path (load_script of fs/binfmt_script.c).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_SLACK: Final = 4096
"""A string that begins within the limit is kept whole if it ends at most this much behind it."""

Strings = tuple[bytes | None, ...]


@dataclass(frozen=True, slots=True)
class Copied:
    """One of argv and envp.

    Attributes:
        strings: The elements, as far as they were copied and the limit allows.
        cut: Indexes of those of which only the beginning is there.
        total: How many there are in all.
    """

    strings: Strings
    cut: tuple[int, ...]
    total: int

    @property
    def is_truncated(self) -> bool:
        """Whether anything is missing."""
        return bool(self.cut) or len(self.strings) < self.total


def split(
    block: bytes,
    total: int,
    counts: tuple[int, int, int],
    first: bytes | None,
    limits: tuple[int, int],
) -> tuple[Copied, Copied | None] | None:
    """Take argv and envp apart; no envp where the block ends early, None where it is not what it should be.

    Args:
        block: The copy's beginning.
        total: Bytes of the whole copy.
        counts: argc and envc as passed, and argc as it is in the copy.
        first: argv[0] as the caller's memory has it, for the place that a ``#!`` line has taken.
        limits: Bytes of argv and of envp to keep.
    """
    argc, envc, copied_argc = counts
    strings: list[bytes] = block.split(b"\0")
    rest = strings.pop()
    is_whole = len(block) == total
    if is_whole and (rest or len(strings) != copied_argc + envc):
        return None
    if not is_whole:
        strings.append(rest)
    argv: list[bytes | None] = list(strings[:copied_argc])
    half = None if is_whole or len(strings) > copied_argc else len(argv) - 1
    if copied_argc != argc:
        before = copied_argc - max(argc - 1, 0)
        argv = [first] * bool(argc) + argv[before:]
        half = half if half is None else half - before + bool(argc)
    envp = list(strings[copied_argc:]) if is_whole else None
    return (
        _limited(argv, half, argc, limits[0]),
        None if envp is None else _limited(envp, None, envc, limits[1]),
    )


def _limited(strings: list[bytes] | list[bytes | None], half: int | None, total: int, limit: int) -> Copied:
    kept: list[bytes | None] = []
    cut = []
    held = 0
    for index, string in enumerate(strings):
        if held >= limit:
            break
        if string is not None and held + len(string) > limit + _SLACK:
            string = string[: limit - held]
            cut.append(index)
        elif index == half:
            cut.append(index)
        kept.append(string)
        held += len(string or b"") + 1
    return Copied(tuple(kept), tuple(cut), total)
