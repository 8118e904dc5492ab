"""Names the cause of each failed exec, with its evidence.

``diagnose`` looks at what the kernel looked at and asks the family of causes that fits the error. A cause
is claimed only where exactly one is found, and is certain only where nothing it rests on has changed.
"""

from __future__ import annotations

import dataclasses
import errno
import os
from collections.abc import Callable, Mapping
from typing import Final

from execwhy.bpf.events.record import Diagnosis, ExecFailure
from execwhy.tui.why.causes import (
    busy,
    calls,
    forbidden,
    kernel_invoked,
    late,
    limits,
    security,
    too_big,
    unknown,
)
from execwhy.tui.why.causes.absent import missing, paths
from execwhy.tui.why.causes.format import malformed
from execwhy.tui.why.scene import advise, words
from execwhy.tui.why.scene.scene import Scene

_OF_THE_CALL: Final[Mapping[int, Callable[[Scene], list[Diagnosis]]]] = {
    errno.EFAULT: calls.bad_address,
    errno.EBADF: calls.bad_descriptor,
    errno.EINVAL: calls.invalid,
    errno.ENOSYS: calls.no_such_call,
    errno.ENAMETOOLONG: calls.path_too_long,
    errno.E2BIG: too_big.explain,
    errno.EAGAIN: limits.too_many_processes,
    errno.EMFILE: limits.too_many_files,
    errno.ENFILE: limits.file_table_full,
    errno.ENOMEM: limits.no_memory,
}
"""Causes that lie in the call and its limits, whatever the file."""

_OF_THE_FILE: Final[Mapping[int, Callable[[Scene], list[Diagnosis]]]] = {
    errno.ENOENT: missing.explain,
    errno.EACCES: forbidden.explain,
    errno.EPERM: security.not_permitted,
    errno.ENOEXEC: malformed.not_executable,
    errno.ELIBBAD: malformed.bad_library,
    errno.EIO: malformed.unreadable,
    errno.EINVAL: malformed.invalid,
    errno.ELOOP: malformed.looping,
    errno.ETXTBSY: busy.explain,
}
"""Causes that the file, its interpreters and the way to them show."""


def diagnose(record: ExecFailure) -> Diagnosis:
    """Why an exec failed. Never raises; takes half a second at most, mostly far less than a millisecond."""
    try:
        with Scene(record) as scene:
            cause = _cause(scene)
            if record.kernel_invoked:
                cause = kernel_invoked.explain(scene, cause)
            return advise.in_doubt(_checked_only(cause) if record.check_only else cause)
    except Exception as error:
        return failed(record, error)


def failed(record: ExecFailure, error: Exception) -> Diagnosis:
    """The diagnosis of a record whose diagnosis failed."""
    return Diagnosis(
        code="diagnosis-failed",
        summary=f"The exec failed with {record.error}; looking for the cause failed with"
        f" {type(error).__name__}.",
        evidence=(words.doubt("This is a fault of execwhy; nothing is known of the cause."),),
        certain=False,
        brief=os.strerror(-record.return_value),
    )


def _cause(scene: Scene) -> Diagnosis:
    record, error = scene.record, -scene.record.return_value
    if record.killed_by is not None:
        return late.explain(scene)
    if error in _OF_THE_CALL:
        causes = _OF_THE_CALL[error](scene)
        if causes:
            return _one(causes)
    if scene.caller_root is None:
        return unknown.namespace_gone(scene)
    contradiction = unknown.contradiction(scene)
    if contradiction is not None:
        return contradiction
    causes = _OF_THE_FILE[error](scene) if error in _OF_THE_FILE else []
    causes = causes or _on_the_way(scene, error)
    return _one(causes) if causes else unknown.unexplained(scene)


def _one(causes: list[Diagnosis]) -> Diagnosis:
    """The cause, or where several fit none of them."""
    if len(causes) == 1:
        return causes[0]
    briefs = [cause.brief for cause in causes]
    facts = [fact for cause in causes for fact in (cause.summary, *cause.evidence)]
    advice = [cause.advice for cause in causes if cause.advice is not None]
    return Diagnosis(
        code="several-causes",
        summary=f"Several causes fit, and each alone would do: {words.listed(briefs)}.",
        evidence=tuple(
            dict.fromkeys((*facts, words.doubt("Which of them the kernel met first was not seen.")))
        ),
        advice=" ".join(advice) or None,
        certain=False,
        brief="; ".join(briefs),
    )


def _on_the_way(scene: Scene, error: int) -> list[Diagnosis]:
    """A fault on the way to the file, or to one of its interpreters."""
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
