"""ENOEXEC, ELIBBAD, EIO, ELOOP: the file may be executed, but the kernel cannot run it."""

from __future__ import annotations

import dataclasses
import errno
import os

from execwhy.bpf.caller.lookup import File
from execwhy.bpf.events.record import Diagnosis
from execwhy.tui.why.causes import chain
from execwhy.tui.why.causes.format import elf, formats, shebang
from execwhy.tui.why.registry import cause, finds
from execwhy.tui.why.scene import handlers, mounts, words
from execwhy.tui.why.scene.files import is_regular
from execwhy.tui.why.scene.scene import Scene


@finds(errno.ENOEXEC)
def not_executable(scene: Scene) -> list[Diagnosis]:
    """Find what the kernel cannot run (ENOEXEC): the file or, if that is a good script, its interpreter."""
    cause: Diagnosis | None = None
    scripts = [one for one in scene.files() if is_regular(one)]
    for file in scripts:
        if file.shebang is not None and file.shebang.fault is None:
            continue
        cause = (
            _empty(scene, file)
            or shebang.malformed(scene, file)
            or elf.unrunnable(scene, file)
            or (
                None
                if file.elf is not None
                else formats.known(scene, file)
                or shebang.without(scene, file)
                or formats.unknown(scene, file)
            )
        )
        if cause is None or file is scripts[0]:
            break
        return [_with_handler(scene, _of_interpreter(scene, file, cause))]
    return [] if cause is None else [_with_handler(scene, cause)]


@finds(errno.ELIBBAD)
def bad_library(scene: Scene) -> list[Diagnosis]:
    """Find the fault of the ELF interpreter (ELIBBAD)."""
    causes = (elf.bad_interpreter(scene, interpreter) for interpreter in scene.interpreters)
    return [cause for cause in causes if cause is not None]


@finds(errno.EIO)
@cause(
    "read-error", errno.EIO, manual="The file still cannot be read: the disk or file system reports errors."
)
def unreadable(scene: Scene) -> list[Diagnosis]:
    """Find headers that point beyond the end of the file, or a file that cannot be read (EIO)."""
    for file in scene.files():
        cause = elf.cut_off(scene, file)
        if cause is not None:
            return [cause]
        if is_regular(file) and file.head is None:
            return [
                scene.diagnosis(
                    "read-error",
                    f"{chain.subject(scene, file)} could not be read when looked at {scene.later}"
                    " either; the file system or its disk reports errors.",
                    chain.brief(scene, file, "the file cannot be read"),
                    "The kernel's log (dmesg) has the details.",
                    lacking="What the disk reported to the kernel is only in its log.",
                )
            ]
    return []


@finds(errno.EINVAL)
def invalid(scene: Scene) -> list[Diagnosis]:
    """Find headers that point where no file can be read (EINVAL), if no flag is at fault."""
    causes = (elf.cut_off(scene, file) for file in scene.files())
    return [cause for cause in causes if cause is not None]


@finds(errno.ELOOP)
@cause("links-forbidden-by-mount", errno.ELOOP, manual="A link lies on a mount with nosymfollow.")
def looping(scene: Scene) -> list[Diagnosis]:
    """Find scripts as interpreters of scripts, or links that a mount forbids (ELOOP)."""
    nested = shebang.nested_too_deep(scene)
    if nested is not None:
        return [nested]
    resolved, caller_root = scene.target, scene.caller_root
    if resolved is None or caller_root is None:
        return []
    for link in resolved.resolution.links:
        inside = mounts.on_the_way(caller_root, link.path)
        if inside is not None and "nosymfollow" in inside.options:
            return [
                scene.diagnosis(
                    "links-forbidden-by-mount",
                    f"{words.quoted(link.path)} is a symbolic link, and"
                    f" {words.quoted(inside.point)} is mounted nosymfollow.",
                    f"link on the nosymfollow mount {inside.point}",
                )
            ]
    return []


@cause("empty-file", errno.ENOEXEC, manual="The file is empty.")
def _empty(scene: Scene, file: File) -> Diagnosis | None:
    if file.stat.st_size or file.head != b"":
        return None
    return scene.diagnosis(
        "empty-file",
        f"{words.quoted(file.path)} is empty.",
        "the file is empty",
        advice="Copy or build it again.",
    )


def _of_interpreter(scene: Scene, file: File, cause: Diagnosis) -> Diagnosis:
    """Return the cause, with the way to the interpreter that it is about."""
    return dataclasses.replace(
        cause,
        summary=f"{cause.summary} It is {chain.subject(scene, file, capital=False)}.",
        brief=chain.brief(scene, file, cause.brief),
    )


def _with_handler(scene: Scene, cause: Diagnosis) -> Diagnosis:
    """Add a binfmt_misc handler that takes the file now: it contradicts all of these causes."""
    file = scene.target.file if scene.target is not None else None
    handler = None if file is None else handlers.handler_of(file, scene.record.path or "")
    unseen = handlers.unseen(scene)
    if unseen is not None:
        evidence = tuple(dict.fromkeys((*cause.evidence, words.doubt(unseen))))
        cause = dataclasses.replace(cause, evidence=evidence, certain=False)
    if handler is None or file is None or cause.code == "foreign-architecture":
        return cause
    state = "is registered" if handler.enabled else "is registered, but disabled"
    sentence = f"The binfmt_misc handler {os.path.basename(handler.interpreter)} for it {state}."
    return Diagnosis(
        cause.code,
        cause.summary,
        (*cause.evidence, words.doubt(sentence) if handler.enabled else sentence),
        cause.advice,
        cause.certain and not handler.enabled,
        cause.brief,
    )
