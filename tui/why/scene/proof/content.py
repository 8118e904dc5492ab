"""Whether the bytes of a file were the same at the exec, if its ctime alone does not prove it.

The ctime is proof enough of files that only root may write.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from typing import Final

from execwhy.bpf.caller.lookup import File
from execwhy.tui.why.scene import words

_IN_MEMORY: Final = frozenset({"tmpfs", "ramfs", "rootfs", "devtmpfs"})

_UNTRACED: Final = _IN_MEMORY | {"xfs", "f2fs"}
"""File systems on which content can change without a new ctime: those in memory, by a shared mapping; XFS and
F2FS, by a call that moves blocks between two files (XFS_IOC_SWAPEXT, F2FS_IOC_MOVE_RANGE). An overlay has the
mappings of what it lies on, but none of these calls."""

_ZEROING: Final = frozenset({"ext2", "ext3", "ext4", "overlay"})
"""File systems on which a whole block can become zeros without a new ctime: EXT4_IOC_MOVE_EXT does not set
that of the donor. The same holds for the upper layer of an overlay."""

_SMALLEST_BLOCK: Final = 1024
"""Bytes of the smallest block of ext4 (EXT4_MIN_BLOCK_SIZE); larger ones begin where one of these does."""

_DENIES_NO_WRITERS: Final = re.compile(r"6\.11(?!\d)|6\.12\.[01](?!\d)")
"""Releases of Linux that execute what is open for writing (2a010c412853; reverted by 3b832035387f)."""


def doubts(file: File, *, was_opened: bool, below: frozenset[str] | None = frozenset()) -> Iterator[str]:
    """Yield why a file's bytes may have been others at the exec, whatever its ctime is.

    Args:
        file: A regular file.
        was_opened: The kernel had surely opened it for the exec, so that nobody had it open for writing.
        below: The types of the file systems that its overlay lies on; None if they are not known.
    """
    others = file.stat.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if not file.stat.st_uid and not others and file.acl is None:
        return
    kind = None if file.mount is None else file.mount.file_system
    if below is None:
        yield (
            f"{words.quoted_briefly(file.path)}, which others than root may write, lies on an overlay whose"
            " layers are not known."
        )
        return
    kind = next(iter(below & _IN_MEMORY), kind)
    if kind in _UNTRACED:
        yield (
            f"{words.quoted_briefly(file.path)} lies on a file system of type {kind}, where what others"
            " than root may write can change without a trace."
        )
    elif _DENIES_NO_WRITERS.match(os.uname().release) or not was_opened:
        yield (
            f"Whether the kernel had opened {words.quoted_briefly(file.path)}, which others than root may"
            " write, is not known: who had it mapped for writing may have changed it without a trace."
        )
    elif kind in _ZEROING and _may_be_zeroed(file):
        yield (
            f"{words.quoted_briefly(file.path)}, which others than root may write, lies on a file system of"
            f" type {kind}, where a block of it can become zeros without a trace, and what counts of it does"
            " not show that none has."
        )


def _may_be_zeroed(file: File) -> bool:
    """Return whether a block of the part of a file that was read may have held something else.

    One that has any byte but NUL has not become zeros. The structures of an ELF file, and a ``#!`` line, are
    proven by the magic if they lie in the same block.
    """
    head = file.head
    if not head:
        return False
    if head[0] == 0:
        return True
    if file.shebang is not None:
        return False
    if file.elf is not None:
        return file.elf.read_to > _SMALLEST_BLOCK
    blocks = (head[at : at + _SMALLEST_BLOCK] for at in range(0, len(head), _SMALLEST_BLOCK))
    return not all(any(block) for block in blocks)
