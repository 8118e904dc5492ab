"""What paths lead to, and the interpreters that files name."""

from __future__ import annotations

import dataclasses
import stat

from execwhy.bpf.caller.lookup import File, ResolvedFile
from execwhy.bpf.caller.resolution import End


@dataclasses.dataclass(frozen=True, slots=True)
class Interpreter:
    """An interpreter that a file names.

    Attributes:
        of: The file that names it.
        path: Its path as that file has it.
        resolved: What the path leads to; None if it could not be looked at.
    """

    of: File
    path: str
    resolved: ResolvedFile | None

    @property
    def kind(self) -> str:
        """How the file names it: "interpreter" in a ``#!`` line, "ELF interpreter" in PT_INTERP."""
        return "ELF interpreter" if self.of.elf is not None else "interpreter"


def is_regular(file: File) -> bool:
    """Return whether a file is a regular file."""
    return stat.S_ISREG(file.stat.st_mode)


def is_found(resolved: ResolvedFile | None) -> bool:
    """Return whether a path was walked to its end."""
    return resolved is not None and resolved.resolution.end is End.FOUND
