"""The cause of each failed exec, with its evidence.

``diagnose`` looks at what the kernel looked at and calls what ``registry.finds`` has registered for the
errno. A cause is claimed only if exactly one is found, and is certain only if nothing that it rests on has
changed.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Hashable, Mapping
from typing import Final

from execwhy.bpf.events.kinds import EXEC, FAILURES, by_kind
from execwhy.bpf.events.record import Diagnosis, ExecFailure
from execwhy.tui.why.causes import (
    advise,
    busy,
    calls,
    forbidden,
    kernel_invoked,
    late,
    limits,
    security,
    since,
    too_big,
    unknown,
)
from execwhy.tui.why.causes.absent import missing, paths
from execwhy.tui.why.causes.format import malformed
from execwhy.tui.why.registry import Declaration, Reading, Stage, cause, declared, finder_of, readings_of
from execwhy.tui.why.scene import words
from execwhy.tui.why.scene.readings import SCENE
from execwhy.tui.why.scene.scene import Scene

# An import registers what a family of causes declares.
_FAMILIES: Final = (busy, calls, forbidden, limits, malformed, missing, security, too_big)


def codes() -> tuple[str, ...]:
    """Return the codes that a diagnosis can have, sorted."""
    return tuple(sorted(declared()))


def declarations() -> tuple[Declaration, ...]:
    """Return what all causes declare."""
    return tuple(one for code in codes() for one in declared()[code])


def readings(error: int) -> tuple[Reading[Hashable], ...]:
    """Return all that a diagnosis of this errno reads of the record."""
    return (*SCENE, *readings_of(error))


def diagnose(record: ExecFailure) -> Diagnosis:
    """Return why an exec failed. Never raises; takes up to half a second, usually less than a millisecond."""
    try:
        return _DIAGNOSES[record.kind](record)
    except Exception as error:
        return failed(record, error)


def _of_exec(record: ExecFailure) -> Diagnosis:
    with Scene(record) as scene:
        found = _diagnosis(scene)
        if record.kernel_invoked:
            found = kernel_invoked.explain(scene, found)
        return advise.in_doubt(_checked_only(found) if record.check_only else found)


_DIAGNOSES: Final[Mapping[str, Callable[[ExecFailure], Diagnosis]]] = by_kind({EXEC: _of_exec}, FAILURES)
"""What finds the cause, by the kind of failure."""


@cause("diagnosis-failed", manual="Looking for the cause failed; please report it.")
def failed(record: ExecFailure, error: Exception) -> Diagnosis:
    """Return the diagnosis of a record whose diagnosis raised an error."""
    return Diagnosis(
        code="diagnosis-failed",
        summary=f"The exec failed with {record.error}; looking for the cause failed with"
        f" {type(error).__name__}.",
        evidence=(words.doubt("This is a fault of execwhy; the cause is not known."),),
        certain=False,
        brief=os.strerror(-record.return_value),
    )


def _diagnosis(scene: Scene) -> Diagnosis:
    record, error = scene.record, -scene.record.return_value
    if record.killed_by is not None:
        return late.explain(scene)
    causes = _found(Stage.CALL, scene, error)
    if causes:
        return _one(causes)
    if scene.caller_root is None:
        return unknown.namespace_gone(scene)
    other_file = since.removed_or_replaced(scene)
    if other_file is not None:
        return other_file
    causes = _found(Stage.FILE, scene, error) or _on_the_way(scene, error)
    return _one(causes) if causes else unknown.unexplained(scene)


def _found(stage: Stage, scene: Scene, error: int) -> list[Diagnosis]:
    finder = finder_of(stage, error)
    return [] if finder is None else finder(scene)


@cause("several-causes", manual="Several causes fit, and each alone would explain the error; all are listed.")
def _one(causes: list[Diagnosis]) -> Diagnosis:
    """Return the only cause; if there are several, a diagnosis that names all and claims none."""
    if len(causes) == 1:
        return causes[0]
    briefs = [cause.brief for cause in causes]
    facts = [fact for cause in causes for fact in (cause.summary, *cause.evidence)]
    advice = [cause.advice for cause in causes if cause.advice is not None]
    return Diagnosis(
        code="several-causes",
        summary=f"Several causes fit, and each alone would explain it: {words.listed(briefs)}.",
        evidence=tuple(
            dict.fromkeys((*facts, words.doubt("Which of them the kernel met first was not seen.")))
        ),
        advice=" ".join(advice) or None,
        certain=False,
        brief="; ".join(briefs),
    )


def _on_the_way(scene: Scene, error: int) -> list[Diagnosis]:
    """Return the fault on the way to the file, or to one of its interpreters."""
    if scene.target is not None:
        cause = paths.explain_walk(scene, scene.target, error)
        if cause is not None:
            return [cause]
    for interpreter in scene.interpreters:
        if interpreter.resolved is None:
            continue
        cause = paths.explain_walk(scene, interpreter.resolved, error, interpreter)
        if cause is not None:
            return [cause]
    return []


def _checked_only(cause: Diagnosis) -> Diagnosis:
    sentence = (
        "The caller only checked whether it may execute the file (AT_EXECVE_CHECK); nothing would have run."
    )
    return dataclasses.replace(cause, evidence=(sentence, *cause.evidence))


__all__ = ["unseen"]
