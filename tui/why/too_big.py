"""E2BIG: one string of argv and envp was too long, or all of them together."""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass
from typing import Final

from bpf.record import Diagnosis, ExecFailure
from tui.why import words
from tui.why.limits import limit_of
from tui.why.scene import Scene

MAX_ARG_STRLEN: Final = 32 * mmap.PAGESIZE
"""The longest single string with its NUL: 32 pages (include/uapi/linux/binfmts.h)."""

ARG_MAX: Final = 131_072
"""What argv and envp get however small the stack may be (bprm_stack_limits, fs/exec.c)."""

MOST_FOR_STRINGS: Final = 6 << 20
"""Three quarters of _STK_LIM (8 MiB): what they get at most."""

_POINTER_BYTES: Final = 8
"""The kernel counts its own pointer size, for 32-bit callers too."""


@dataclass(frozen=True, slots=True)
class Text:
    """One string of argv or envp: its name to the operator, its bytes with the NUL, whether it is whole."""

    name: str
    size: int
    whole: bool


def texts_of(record: ExecFailure) -> list[Text]:
    """The strings that were read, the largest first. A variable is named, never shown."""
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
class _Strings:
    """What was read of argv and envp.

    Attributes:
        texts: The strings, the largest first.
        argc: How many argv has, or as many as were read.
        envc: The same of envp.
        shown: Both, for a sentence.
        total: Bytes that they take with the path and their pointers, as far as they were read.
        missing: What was not read of them, in words; empty where they are complete.
    """

    texts: tuple[Text, ...]
    argc: int
    envc: int
    shown: tuple[str, str]
    total: int
    missing: tuple[str, ...]

    @classmethod
    def of(cls, record: ExecFailure) -> _Strings:
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
            _counted(argc, truncated.argc, envc, truncated.envc),
            sum(text.size for text in texts) + path + _POINTER_BYTES * (argc + envc),
            tuple(missing),
        )


def _were(number: int) -> str:
    return "was" if number == 1 else "were"


def _counted(argc: int, known_argc: int | None, envc: int, known_envc: int | None) -> tuple[str, str]:
    return (
        f"{argc:,}" if known_argc is not None else f"at least {argc:,}",
        f"{envc:,}" if known_envc is not None else f"at least {envc:,}",
    )


def explain(scene: Scene) -> list[Diagnosis]:
    """E2BIG: one string, or all of them together. Where all but one of these is ruled out, that one is it."""
    strings = _Strings.of(scene.record)
    stack, whose = limit_of(scene, "Max stack size")
    limit = _bytes_taken(stack)
    evidence = _of_strings(strings, stack, whose, limit)
    long = next((text for text in strings.texts if text.size > MAX_ARG_STRLEN), None)
    if long is not None:
        return [_string_too_long(scene, long, f"{long.size:,}", evidence, certain=True)]
    # The caller's limit may be another than its parent's, where the caller itself is gone.
    doubt = () if whose == "the caller's" else (_doubt(scene, whose),)
    least = "at least " if strings.missing else ""
    if strings.total > limit:
        # No string is too long, so it is this; and beyond the most the limit decides nothing.
        sure = not strings.missing or strings.total > MOST_FOR_STRINGS
        doubts = () if sure else doubt
        return [_all_too_long(scene, f"{least}{strings.total:,}", limit, [*evidence, *doubts], not doubts)]
    cut = [text for text in strings.texts if not text.whole]
    if len(cut) == len(strings.missing) == 1 and strings.total - cut[0].size + MAX_ARG_STRLEN < limit:
        # All others are whole and far from the limit together.
        size = f"more than {MAX_ARG_STRLEN:,}"
        return [_string_too_long(scene, cut[0], size, [*evidence, *doubt], certain=not doubt)]
    if strings.missing:
        left = (
            f"Of the strings, {words.listed(strings.missing)}, so it cannot be told whether one of them was"
            " too long or all of them together; --max-args-bytes and --max-env-bytes have more of them read."
        )
    else:
        left = (
            "All strings were read, and neither one of them nor all are too long for these limits; what also"
            " gives this error is a shortage of memory, or of address space (RLIMIT_AS)."
        )
    return [
        scene.diagnosis(
            "arguments-too-big",
            f"argv and envp are too big: {strings.shown[0]} argument{'s' * (strings.argc != 1)} and"
            f" {strings.shown[1]} variable{'s' * (strings.envc != 1)}, of which"
            f" {sum(text.size for text in strings.texts):,} bytes were read.",
            f"argv and envp are too big ({strings.shown[0]} and {strings.shown[1]} strings)",
            *evidence,
            left,
            *doubt,
            advice="Pass long lists through a file or standard input, such as with xargs.",
            certain=False,
        )
    ]


def _of_strings(strings: _Strings, stack: int | None, whose: str, limit: int) -> list[str]:
    least = "at least " if strings.missing else ""
    evidence = [
        f"argc is {strings.shown[0]}, envc is {strings.shown[1]}; with their pointers and the path they take"
        f" {least}{strings.total:,} bytes.",
        f"The kernel takes {limit:,} bytes in all ({_stack_words(stack, whose)}) and"
        f" {MAX_ARG_STRLEN:,} for one string.",
    ]
    if strings.texts:
        largest = strings.texts[0]
        more = "" if largest.whole else " or more"
        of = "The largest string that was read is" if strings.missing else "The largest string is"
        evidence.append(f"{of} {largest.name} with {largest.size:,} bytes{more}.")
    return evidence


def _bytes_taken(stack: int | None) -> int:
    """What argv and envp may take under a stack limit, in bytes; None where it is unlimited or not known.

    bprm_stack_limits() of fs/exec.c; and what exceeds the stack's own limit has no place
    (acct_stack_growth() of mm/vma.c).
    """
    if stack is None:
        return MOST_FOR_STRINGS
    return min(stack, max(ARG_MAX, min(stack // 4, MOST_FOR_STRINGS)))


def _doubt(scene: Scene, whose: str) -> str:
    if whose == "not known":
        return f"Caller and parent were gone when looked at {scene.later}, so their stack limit is not known."
    return (
        f"The caller was gone when looked at {scene.later}: the stack limit is its parent's, and it may have"
        " had another."
    )


def _string_too_long(scene: Scene, text: Text, size: str, evidence: list[str], *, certain: bool) -> Diagnosis:
    argument = text.name.startswith("argument")
    return scene.diagnosis(
        "argument-too-long" if argument else "variable-too-long",
        f"{text.name[0].upper()}{text.name[1:]} has {size} bytes; the kernel takes"
        f" {MAX_ARG_STRLEN:,} bytes for one string.",
        f"{text.name} is too long",
        *evidence,
        advice="Pass it through a file or standard input."
        if argument
        else "Unset the variable, or pass its value through a file.",
        certain=certain,
    )


def _all_too_long(scene: Scene, total: str, limit: int, evidence: list[str], certain: bool) -> Diagnosis:
    return scene.diagnosis(
        "arguments-too-big",
        f"argv and envp take {total} bytes together; the kernel takes {limit:,} here.",
        f"argv and envp take {total} bytes of {limit:,}",
        *evidence,
        advice="Pass long lists in parts, such as with xargs, or raise the stack limit (ulimit -s).",
        certain=certain,
    )


def _stack_words(stack: int | None, whose: str) -> str:
    """The same words whoever was asked: mostly a caller has its parent's limit."""
    if stack is None:
        why = "the stack limit is not known" if whose == "not known" else "the stack is unlimited"
        return f"three quarters of 8 MiB, as {why}"
    if stack < ARG_MAX:
        return f"the stack limit of {stack:,}"
    return f"a quarter of the stack limit of {stack:,}, between 128 KiB and 6 MiB"
