"""Limits of a looker's answer: the caller chooses the names in it, and the monitor has to mask all of them.

The looker keeps to them (``within_bounds``). The monitor rejects any other answer (``check``), and then
treats the looker as gone.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Final

from execwhy.bpf.events.record import ExecFailure, Look
from execwhy.tui.model.text.counted import counted
from execwhy.tui.why.causes import unseen
from execwhy.tui.why.scene import words

MAX_ANSWER: Final = 64 << 10
"""Bytes of an answer: masking them takes the monitor some 30 ms. A path of PATH_MAX bytes takes 4 KiB, or
24 KiB if no byte of the path is text."""

MAX_SENTENCES: Final = 16
"""Sentences of evidence, not counting the one that says how many are left out."""

MAX_BRIEF: Final = 1024
"""Characters of the summary in a table column."""

MAX_FACT: Final = 4096
"""Characters of a path that is a fact of its own. It is not shortened, since that would be another path."""

_FOR_COUNT: Final = 128
"""Bytes of the sentence that says how many are left out."""


def within_bounds(look: Look, record: ExecFailure) -> Look:
    """Return a look that the monitor accepts; it says how many sentences there was no room for."""
    binary, diagnosis = look.binary, look.diagnosis
    if binary is not None and _is_no_fact(binary.path):
        binary = dataclasses.replace(binary, path=None)
    look = Look(
        dataclasses.replace(diagnosis, evidence=(), brief=words.shortened(diagnosis.brief, MAX_BRIEF)),
        binary,
        None if _is_no_fact(look.interpreter_path) else look.interpreter_path,
        None if _is_no_fact(look.cgroup) else look.cgroup,
    )
    room = MAX_ANSWER - _FOR_COUNT - _size(look)
    if room < 0:
        return unseen.too_long(record)
    evidence = tuple(_fitting(diagnosis.evidence, room))
    return dataclasses.replace(look, diagnosis=dataclasses.replace(look.diagnosis, evidence=evidence))


def check(look: Look) -> None:
    """Check a look that was received; the size of its frame has been checked before.

    Raises:
        ValueError: ``within_bounds`` would not return such a look.
    """
    diagnosis, binary = look.diagnosis, look.binary
    facts = look.interpreter_path, look.cgroup, None if binary is None else binary.path
    texts = diagnosis.code, diagnosis.summary, diagnosis.brief, *diagnosis.evidence
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("a text is none")
    if not all(text is None or isinstance(text, str) for text in (diagnosis.advice, *facts)):
        raise ValueError("a fact is no text")
    if len(diagnosis.evidence) > MAX_SENTENCES + 1 or len(diagnosis.brief) > MAX_BRIEF:
        raise ValueError("the diagnosis is too long")
    if any(map(_is_no_fact, facts)):
        raise ValueError("a path is too long")


def _fitting(evidence: tuple[str, ...], room: int) -> Iterator[str]:
    """Yield the sentences that there is room for, in order, and one that says how many are left out.

    The first doubt comes before all facts, since an uncertain diagnosis must say why; other doubts come last.
    """
    doubts = [number for number, sentence in enumerate(evidence) if words.is_doubt(sentence)]
    facts = [number for number, sentence in enumerate(evidence) if not words.is_doubt(sentence)]
    kept: set[int] = set()
    for number in (*doubts[:1], *facts, *doubts[1:]):
        if len(kept) == MAX_SENTENCES:
            break
        size = _size(evidence[number]) + 1
        if size <= room:
            room -= size
            kept.add(number)
    yield from (sentence for number, sentence in enumerate(evidence) if number in kept)
    left_out = len(evidence) - len(kept)
    if left_out:
        of_doubt = any(number not in kept for number in doubts)
        more = (
            f"{counted(left_out, 'more sentence of evidence is', 'more sentences of evidence are')} left out."
        )
        yield words.doubt(more) if of_doubt else more


def _size(part: Look | str) -> int:
    """Return at least as many bytes as it takes in an answer."""
    values = part if isinstance(part, str) else dataclasses.astuple(part)
    return len(json.dumps(values))


def _is_no_fact(path: str | None) -> bool:
    return path is not None and len(path) > MAX_FACT
