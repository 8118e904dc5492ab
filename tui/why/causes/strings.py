"""argv and envp as far as they were read: how many strings, how many bytes, what is missing."""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass
from typing import Final

from execwhy.bpf.events.record import ExecFailure
from execwhy.bpf.program.limits import MAX_ELEMENTS
from execwhy.tui.why.scene import words

MAX_ARG_STRLEN: Final = 32 * mmap.PAGESIZE
"""The longest single string with its NUL: 32 pages (include/uapi/linux/binfmts.h)."""

_POINTER_BYTES: Final = 8
"""The kernel counts pointers of its own size, also for 32-bit callers."""


@dataclass(frozen=True, slots=True)
class Text:
    """One string of argv or envp.

    Attributes:
        name: What a sentence calls it: "argument 3", 'variable "PATH"'.
        size: Its bytes with the NUL.
        whole: It was read to its end.
    """

    name: str
    size: int
    whole: bool


def texts_of(record: ExecFailure) -> list[Text]:
    """Return the strings that were read, the largest first. A variable is named, its value never shown."""
    truncated = record.truncated
    texts = [
        Text(f"argument {number}", len(os.fsencode(value)) + 1, number not in truncated.argument_indexes)
        for number, value in enumerate(record.arguments)
        if value is not None
    ]
    for number, value in enumerate(record.environment):
        if value is not None:
            name, equals, _ = value.partition("=")
            shown = f"variable {words.quoted(name)}" if equals else f"environment element {number}"
            whole = number not in truncated.environment_indexes
            texts.append(Text(shown, len(os.fsencode(value)) + 1, whole))
    return sorted(texts, key=lambda text: -text.size)


@dataclass(frozen=True, slots=True)
class Strings:
    """What was read of argv and envp.

    Attributes:
        texts: The strings, the largest first.
        argc: The number of arguments; if it is not known, of those that were read.
        envc: The number of variables, in the same way.
        shown: Both numbers for a sentence: "at least 400".
        total: Bytes of the strings that were read, their pointers and the path.
        missing: What was not read, in words; empty if nothing is missing.
        is_counted: Both numbers are known.
    """

    texts: tuple[Text, ...]
    argc: int
    envc: int
    shown: tuple[str, str]
    total: int
    missing: tuple[str, ...]
    is_counted: bool

    @property
    def counts(self) -> str:
        """The number of arguments and variables, for a sentence."""
        return f"{self.arguments} and {self.variables}"

    @property
    def arguments(self) -> str:
        """The number of arguments, for a sentence: "at least 400 arguments"."""
        return _counted(self.shown[0], self.argc, "argument")

    @property
    def variables(self) -> str:
        """The number of variables, for a sentence."""
        return _counted(self.shown[1], self.envc, "variable")

    @property
    def can_all_be_read(self) -> bool:
        """Whether all of them are read with higher limits (``--max-args-bytes``, ``--max-env-bytes``)."""
        return self.is_counted and max(self.argc, self.envc) < MAX_ELEMENTS

    @classmethod
    def of(cls, record: ExecFailure) -> Strings:
        """Return what a record has of its strings."""
        texts, truncated = texts_of(record), record.truncated
        argc = len(record.arguments) if truncated.argc is None else truncated.argc
        envc = len(record.environment) if truncated.envc is None else truncated.envc
        uncounted = truncated.argc is None or truncated.envc is None
        cut = sum(not text.whole for text in texts)
        unread = (*record.arguments, *record.environment).count(None)
        left = argc + envc - len(texts) - unread
        missing = [
            *([f"{cut:,} {_were(cut)} read only in part"] if cut else ()),
            *([f"{unread:,} could not be read"] if unread else ()),
            *(
                [f"{'at least ' if uncounted else ''}{left:,} {_were(left)} not read at all"]
                if left > 0
                else ()
            ),
        ]
        if uncounted and left <= 0:
            missing.append("an unknown number was not read at all")
        path = len(os.fsencode(record.path or "")) + 1
        return cls(
            tuple(texts),
            argc,
            envc,
            _shown(argc, truncated.argc, envc, truncated.envc),
            sum(text.size for text in texts) + max(0, left) + path + _POINTER_BYTES * (argc + envc),
            tuple(missing),
            not uncounted,
        )


def _were(number: int) -> str:
    return "was" if number == 1 else "were"


def _shown(argc: int, known_argc: int | None, envc: int, known_envc: int | None) -> tuple[str, str]:
    return (
        f"{argc:,}" if known_argc is not None else f"at least {argc:,}",
        f"{envc:,}" if known_envc is not None else f"at least {envc:,}",
    )


def measured_text(record: ExecFailure) -> Text | None:
    """Return the string that the kernel program measured as too long, beyond what it read; None if none."""
    argument, variable = record.truncated.long_argument, record.truncated.long_variable
    if argument is not None:
        return Text(f"argument {argument}", MAX_ARG_STRLEN, whole=False)
    if variable is None:
        return None
    name = "" if variable >= len(record.environment) else (record.environment[variable] or "")
    name, equals, _ = name.partition("=")
    shown = f"variable {words.quoted(name)}" if equals else f"environment element {variable}"
    return Text(shown, MAX_ARG_STRLEN, whole=False)


def _counted(shown: str, number: int, what: str) -> str:
    """Return a number with its noun: "1 argument", "at least 2 variables"."""
    return f"{shown} {what}{'s' * (number != 1 or not shown[0].isdigit())}"
