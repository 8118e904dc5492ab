"""E2BIG: one string of argv and envp was too long, or all of them together."""

from __future__ import annotations

import errno
from typing import Final

from execwhy.bpf.events.record import Diagnosis
from execwhy.tui.why.causes import unknown
from execwhy.tui.why.causes.limits import limit_of
from execwhy.tui.why.causes.strings import MAX_ARG_STRLEN, Strings, Text, measured_text
from execwhy.tui.why.registry import NEVER_SHARED, Stage, cause, finds
from execwhy.tui.why.scene import caller, words
from execwhy.tui.why.scene.scene import Scene

ARG_MAX: Final = 131_072
"""Bytes that argv and envp may take however small the stack limit is (bprm_stack_limits, fs/exec.c)."""

MOST_FOR_STRINGS: Final = 6 << 20
"""Bytes that they may take at most: three quarters of _STK_LIM, which is 8 MiB."""

_IN_PARTS: Final = (
    "Pass them in parts, as xargs does, or through a file. Or raise the stack limit first:"
    " `ulimit -s 24576` allows the maximum, 6 MiB."
)


@finds(errno.E2BIG, stage=Stage.CALL)
@cause(
    "arguments-too-big",
    errno.E2BIG,
    manual="argv and envp together are larger than the kernel allows, or may be.",
    reads=(NEVER_SHARED,),
)
def explain(scene: Scene) -> list[Diagnosis]:
    """Find the string that is too long, or report that all of them together are (E2BIG)."""
    strings = Strings.of(scene.record)
    stack, whose = limit_of(scene, "Max stack size")
    limit = _bytes_taken(stack)
    evidence = _of_strings(strings, stack, whose, limit)
    long = next((text for text in strings.texts if text.size > MAX_ARG_STRLEN), None)
    if long is not None:
        return [_string_too_long(scene, long, f"{long.size:,}", _of_one(strings, long, evidence))]
    more = f"more than {MAX_ARG_STRLEN:,}"
    measured = measured_text(scene.record)
    if measured is not None:
        return [_string_too_long(scene, measured, more, _of_one(strings, measured, evidence))]
    # Its parent may have another limit, and it may have had another one itself.
    doubt = caller.undated(scene, "Its stack limit") if whose == "the caller's" else _doubt(scene, whose)
    least = "at least " if strings.missing else ""
    if strings.total > limit:
        # What exceeds the maximum is too long under any limit.
        lacking = None if strings.total > MOST_FOR_STRINGS else doubt
        return [_all_too_long(scene, f"{least}{strings.total:,}", limit, evidence, lacking)]
    cut = [text for text in strings.texts if not text.whole]
    if len(cut) == len(strings.missing) == 1 and strings.total - cut[0].size + MAX_ARG_STRLEN < limit:
        # All others were read to their end, and together are far from the limit.
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
            "All strings were read, and they are not too long for these limits, neither one of them nor all"
            " together; a shortage of memory or of address space (RLIMIT_AS) also gives this error."
        )
    return [
        scene.diagnosis(
            "arguments-too-big",
            f"The arguments and the environment may be too big together, or one of them alone may be:"
            f" {strings.counts}, where the kernel takes {limit:,} bytes"
            f" for all of them and {MAX_ARG_STRLEN:,} for one.",
            f"too big: {strings.arguments}, {strings.variables}",
            *evidence,
            *(() if doubt is None else (words.doubt(doubt),)),
            advice=_IN_PARTS,
            lacking=left,
        )
    ]


def _short_enough(
    scene: Scene, strings: Strings, limit: int, evidence: list[str], doubt: str | None
) -> Diagnosis:
    """Return the diagnosis if all strings were read and are within the limits, each and together."""
    return unknown.contradicted(
        scene,
        f"{strings.counts} take {strings.total:,} bytes, and the kernel takes {limit:,}",
        *evidence,
        "A shortage of memory or of address space (RLIMIT_AS) also gives this error.",
        lacking=doubt or caller.rewritable(scene),
    )


def _of_strings(strings: Strings, stack: int | None, whose: str, limit: int) -> list[str]:
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


def _of_one(strings: Strings, text: Text, evidence: list[str]) -> list[str]:
    """Return the evidence that one string is too long.

    If not all of them was read, neither their total nor the largest that was read is evidence of that.
    """
    if not strings.missing:
        return evidence
    read = next((one for one in strings.texts if one.name == text.name and not one.whole), None)
    beginning = (
        [] if read is None else [f"Only the first {read.size - 1:,} bytes of {text.name} were copied."]
    )
    return [f"It was given {strings.counts}.", *beginning]


def _bytes_taken(stack: int | None) -> int:
    """Return how many bytes argv and envp may take under a stack limit, None being unlimited or not known.

    See bprm_stack_limits() of fs/exec.c. They cannot exceed the stack limit itself either
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
        f"{text.name[0].upper()}{text.name[1:]} {has} {size} bytes, its NUL included; the"
        f" kernel takes {MAX_ARG_STRLEN:,} bytes for one string.",
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
    """Return where the limit on argv and envp comes from, in the same words whosever it is."""
    if stack is None:
        why = "is not known" if whose == "not known" else "is unlimited"
        return f"the maximum, because the stack limit (RLIMIT_STACK) {why}"
    if stack < ARG_MAX:
        return f"the whole stack limit (RLIMIT_STACK), which is {stack:,}"
    return (
        f"a quarter of the stack limit (RLIMIT_STACK), which is {stack:,}, but not less than {ARG_MAX:,}"
        f" (ARG_MAX) nor more than {MOST_FOR_STRINGS:,}"
    )
