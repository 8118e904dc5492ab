"""Parse argv and envp in the kernel's own copy, which no thread can change.

The kernel copies them to the top of the new program's stack: argv's strings, then envp's, each with its
NUL (copy_strings of fs/exec.c). If a ``#!`` line was followed, argv[0] has been replaced by the
interpreter, its argument and the script's path (load_script of fs/binfmt_script.c).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_SLACK: Final = 4096
"""A string that begins within the limit is kept whole if it ends at most this many bytes after it."""

Strings = tuple[bytes | None, ...]


@dataclass(frozen=True, slots=True)
class Copied:
    """Either argv or envp.

    Attributes:
        strings: The elements that were copied, up to the limit.
        cut: Indexes of strings of which there is only the beginning.
        total: Number of all elements.
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
    """Return argv and envp; no envp if the block ends early, and None if the block is inconsistent.

    Args:
        block: The beginning of the copy.
        total: Bytes of the whole copy.
        counts: argc and envc as passed, and argc in the copy.
        first: argv[0] in the caller's memory, to put back if a ``#!`` line has replaced it.
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
