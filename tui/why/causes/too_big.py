"""E2BIG: one string of argv and envp was too long, or all of them together."""

from __future__ import annotations

import errno
import mmap
import os
from dataclasses import dataclass
from typing import Final

from execwhy.bpf.events.record import Diagnosis, ExecFailure
from execwhy.bpf.program.layout import MAX_ELEMENTS
from execwhy.tui.why.causes import unknown
from execwhy.tui.why.causes.limits import limit_of
from execwhy.tui.why.registry import NEVER_SHARED, Stage, cause, finds
from execwhy.tui.why.scene import caller, words
from execwhy.tui.why.scene.scene import Scene

MAX_ARG_STRLEN: Final = 32 * mmap.PAGESIZE
"""The longest single string with its NUL: 32 pages (include/uapi/linux/binfmts.h)."""

ARG_MAX: Final = 131_072
"""What argv and envp get however small the stack may be (bprm_stack_limits, fs/exec.c)."""

MOST_FOR_STRINGS: Final = 6 << 20
"""Three quarters of _STK_LIM (8 MiB): what they get at most."""

_IN_PARTS: Final = (
    "Pass them in parts, as xargs does, or through a file. Or raise the stack limit before:"
    " `ulimit -s 24576` gives the most, 6 MiB."
)

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
        """How many arguments and variables there are, for a sentence."""
        return f"{_of(self.shown[0], self.argc, 'argument')} and {_of(self.shown[1], self.envc, 'variable')}"

    @property
    def can_all_be_read(self) -> bool:
        """Greater limits have all of them read: there are few enough."""
        return self.is_counted and max(self.argc, self.envc) < MAX_ELEMENTS

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
            sum(text.size for text in texts) + max(0, left) + path + _POINTER_BYTES * (argc + envc),
            tuple(missing),
            not uncounted,
        )


def _were(number: int) -> str:
    return "was" if number == 1 else "were"


def _counted(argc: int, known_argc: int | None, envc: int, known_envc: int | None) -> tuple[str, str]:
    return (
        f"{argc:,}" if known_argc is not None else f"at least {argc:,}",
        f"{envc:,}" if known_envc is not None else f"at least {envc:,}",
    )


@finds(errno.E2BIG, stage=Stage.CALL)
@cause(
    "arguments-too-big",
    errno.E2BIG,
    manual="argv and envp together are larger than the kernel allows, or may be.",
    reads=(NEVER_SHARED,),
)
def explain(scene: Scene) -> list[Diagnosis]:
    """E2BIG: one string, or all of them together. Where all but one of these is ruled out, that one is it."""
    strings = _Strings.of(scene.record)
    stack, whose = limit_of(scene, "Max stack size")
    limit = _bytes_taken(stack)
    evidence = _of_strings(strings, stack, whose, limit)
    long = next((text for text in strings.texts if text.size > MAX_ARG_STRLEN), None)
    if long is not None:
        return [_string_too_long(scene, long, f"{long.size:,}", _of_one(strings, long, evidence))]
    more = f"more than {MAX_ARG_STRLEN:,}"
    measured = _measured(scene.record)
    if measured is not None:
        return [_string_too_long(scene, measured, more, _of_one(strings, measured, evidence))]
    # The caller's limit may be another than its parent's, or than it was.
    doubt = caller.undated(scene, "Its stack limit") if whose == "the caller's" else _doubt(scene, whose)
    least = "at least " if strings.missing else ""
    if strings.total > limit:
        # Beyond the most the limit decides nothing.
        lacking = None if strings.total > MOST_FOR_STRINGS else doubt
        return [_all_too_long(scene, f"{least}{strings.total:,}", limit, evidence, lacking)]
    cut = [text for text in strings.texts if not text.whole]
    if len(cut) == len(strings.missing) == 1 and strings.total - cut[0].size + MAX_ARG_STRLEN < limit:
        # All others are whole and far from the limit together.
        others = f"With the pointers and the path, all others take {strings.total - cut[0].size:,} bytes."
        facts = [*_of_one(strings, cut[0], evidence), others, *evidence[1:2]]
        return [_string_too_long(scene, cut[0], more, facts, doubt, has="may have")]
    if strings.missing:
        left = (
            f"Of the strings, {words.listed(strings.missing)}, so whether all of them together were too long"
            " or one alone is not known"
        )
        more = "; --max-args-bytes and --max-env-bytes have more of them read"
        left = f"{left}{more if strings.can_all_be_read else ''}."
    elif whose == "the caller's" or strings.total <= ARG_MAX:
        return [_short_enough(scene, strings, limit, evidence, doubt)]
    else:
        left = (
            "All strings were read, and neither one of them nor all are too long for these limits; what also"
            " gives this error is a shortage of memory, or of address space (RLIMIT_AS)."
        )
    return [
        scene.diagnosis(
            "arguments-too-big",
            f"The arguments and the environment may be too big together, or one of them alone may be:"
            f" {strings.counts}, where the kernel takes {limit:,} bytes"
            f" for all of them and {MAX_ARG_STRLEN:,} for one.",
            f"too big: {_of(strings.shown[0], strings.argc, 'argument')},"
            f" {_of(strings.shown[1], strings.envc, 'variable')}",
            *evidence,
            *(() if doubt is None else (words.doubt(doubt),)),
            advice=_IN_PARTS,
            lacking=left,
        )
    ]


def _short_enough(
    scene: Scene, strings: _Strings, limit: int, evidence: list[str], doubt: str | None
) -> Diagnosis:
    """Return what is said where all strings were read, and each and all of them are within the limits."""
    return unknown.contradicted(
        scene,
        f"{strings.counts} take {strings.total:,} bytes, and the kernel takes {limit:,}",
        *evidence,
        "What also gives this error is a shortage of memory, or of address space (RLIMIT_AS).",
        lacking=doubt or caller.rewritable(scene),
    )


def _measured(record: ExecFailure) -> Text | None:
    """The string that the kernel program measured, beyond what it read, as too long."""
    argument, variable = record.truncated.long_argument, record.truncated.long_variable
    if argument is not None:
        return Text(f"argument {argument}", MAX_ARG_STRLEN, whole=False)
    if variable is None:
        return None
    name = "" if variable >= len(record.environment) else (record.environment[variable] or "")
    name, equals, _ = name.partition("=")
    shown = f"variable {words.quoted(name)}" if equals else f"environment element {variable}"
    return Text(shown, MAX_ARG_STRLEN, whole=False)


def _of_strings(strings: _Strings, stack: int | None, whose: str, limit: int) -> list[str]:
    least = "at least " if strings.missing else ""
    evidence = [
        f"It was given {strings.counts}; with their pointers and the path they take"
        f" {least}{strings.total:,} bytes.",
        f"The kernel takes {limit:,} bytes in all: {_stack_words(stack, whose)}.",
        f"For one string it takes {MAX_ARG_STRLEN:,} bytes (MAX_ARG_STRLEN), whatever the limits are.",
    ]
    if strings.texts:
        largest = strings.texts[0]
        more = "" if largest.whole else " or more"
        of = "The largest string that was read is" if strings.missing else "The largest string is"
        evidence.append(f"{of} {largest.name} with {largest.size:,} bytes{more}.")
    return evidence


def _of_one(strings: _Strings, text: Text, evidence: list[str]) -> list[str]:
    """Return the evidence that one string is too long.

    Where not all was read, the bytes of it all, and those of the largest string, seem to say the contrary.
    """
    if not strings.missing:
        return evidence
    read = next((one for one in strings.texts if one.name == text.name and not one.whole), None)
    beginning = (
        [] if read is None else [f"Only the first {read.size - 1:,} bytes of {text.name} were copied."]
    )
    return [f"It was given {strings.counts}.", *beginning]


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


def _of(shown: str, number: int, what: str) -> str:
    return f"{shown} {what}{'s' * (number != 1 or not shown[0].isdigit())}"


@cause(
    "argument-too-long",
    errno.E2BIG,
    manual="One argument is longer than the kernel allows.",
    reads=(NEVER_SHARED,),
)
@cause(
    "variable-too-long",
    errno.E2BIG,
    manual="One environment variable is longer than the kernel allows.",
    reads=(NEVER_SHARED,),
)
def _string_too_long(
    scene: Scene,
    text: Text,
    size: str,
    evidence: list[str],
    lacking: str | None = None,
    *,
    has: str = "has",
) -> Diagnosis:
    argument = text.name.startswith("argument")
    return scene.diagnosis(
        "argument-too-long" if argument else "variable-too-long",
        f"{text.name[0].upper()}{text.name[1:]} {has} {size} bytes; the kernel takes"
        f" {MAX_ARG_STRLEN:,} bytes for one string.",
        f"{text.name} is too long",
        *evidence,
        advice="Pass it through a file or standard input."
        if argument
        else "Unset the variable, or pass its value through a file.",
        lacking=lacking or caller.rewritable(scene),
    )


def _all_too_long(
    scene: Scene, total: str, limit: int, evidence: list[str], lacking: str | None
) -> Diagnosis:
    return scene.diagnosis(
        "arguments-too-big",
        f"The arguments and the environment take {total} bytes together; the kernel takes {limit:,} here.",
        f"too big: {total} bytes of {limit:,}",
        *evidence,
        advice=_IN_PARTS,
        lacking=lacking or caller.rewritable(scene),
    )


def _stack_words(stack: int | None, whose: str) -> str:
    """The same words whoever was asked: mostly a caller has its parent's limit."""
    if stack is None:
        why = "is not known" if whose == "not known" else "is unlimited"
        return f"as much as it ever takes, as the stack limit (RLIMIT_STACK) {why}"
    if stack < ARG_MAX:
        return f"the whole stack limit (RLIMIT_STACK), which is {stack:,}"
    return (
        f"a quarter of the stack limit (RLIMIT_STACK), which is {stack:,}, but not less than {ARG_MAX:,}"
        f" (ARG_MAX) nor more than {MOST_FOR_STRINGS:,}"
    )
