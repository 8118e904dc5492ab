"""EACCES: what the caller may not do, in the order in which the kernel checks it."""

from __future__ import annotations

import dataclasses
import errno
import stat
from typing import Final

from execwhy.bpf.caller.lookup import File
from execwhy.bpf.events.record import Diagnosis
from execwhy.tui.why.causes import access, advise, chain, security
from execwhy.tui.why.causes.format import shebang
from execwhy.tui.why.registry import cause, finds
from execwhy.tui.why.scene import words
from execwhy.tui.why.scene.credentials import Verdict, may_execute
from execwhy.tui.why.scene.files import Interpreter
from execwhy.tui.why.scene.mounts import forbids_exec, never_executes
from execwhy.tui.why.scene.readings import CAPABILITIES
from execwhy.tui.why.scene.scene import Scene

_SCRATCH: Final = frozenset({"/tmp", "/var/tmp", "/dev/shm"})
_TEMPORARY: Final = " (a program that unpacks itself there often takes another directory from TMPDIR)"


@finds(errno.EACCES)
def explain(scene: Scene) -> list[Diagnosis]:
    """Return the causes of an EACCES: all that forbid the first file at which the kernel stops."""
    if scene.target is None:
        return []
    causes = _found(scene)
    if not causes and scene.credentials.capabilities and scene.credentials.has_all_ids is None:
        causes = _without_capabilities(scene)
    if causes or not all(file.resolved and file.resolved.file for file in scene.interpreters):
        return causes
    return security.remainder(scene) if scene.target.file is not None else []


def _without_capabilities(scene: Scene) -> list[Diagnosis]:
    """Return what forbids the exec if the caller's capabilities do not count, like those in a container."""
    known = scene.credentials
    scene.credentials = dataclasses.replace(known, capabilities=0)
    scene.doubts.append(
        "The caller has capabilities that override this for files of its own user namespace; which one that"
        f" was could no longer be seen {scene.later}."
    )
    causes = _found(scene)
    if not causes:
        scene.doubts.pop()
        scene.credentials = known
    return causes


def _found(scene: Scene) -> list[Diagnosis]:
    """Return what forbids the first directory, file or interpreter on the way."""
    resolved = scene.target
    if resolved is None:
        return []
    on_the_way = access.unsearchable(scene, resolved)
    if on_the_way is not None:
        return [on_the_way]
    causes = [] if resolved.file is None else _of_file(scene, resolved.file, None)
    if causes or resolved.file is None:
        return causes
    for interpreter in scene.interpreters:
        if interpreter.resolved is None:
            break
        nameless = shebang.empty_name(scene, interpreter)
        if nameless is not None:
            return [nameless]
        on_the_way = access.unsearchable(scene, interpreter.resolved, interpreter)
        if on_the_way is not None:
            return [on_the_way]
        file = interpreter.resolved.file
        causes = [] if file is None else _of_file(scene, file, interpreter)
        if causes or file is None:
            return causes
    return []


def _of_file(scene: Scene, file: File, interpreter: Interpreter | None) -> list[Diagnosis]:
    mode = file.stat.st_mode
    if not stat.S_ISREG(mode):
        return [_not_regular(scene, file, interpreter)]
    causes = [_noexec(scene, file, interpreter)] if forbids_exec(file) else []
    verdict = may_execute(scene.credentials, file.stat, file.acl)
    scene.note_verdict(file.path, verdict)
    if verdict.allowed is False:
        causes.append(_no_permission(scene, file, verdict, interpreter))
    elif verdict.allowed is None:
        scene.doubts.append(
            f"Whether {scene.who} may execute {words.quoted(file.path)} depends on groups that were not read."
        )
    return causes


@cause("is-directory", errno.EACCES, manual="The path is a directory.")
@cause("special-file", errno.EACCES, manual="The path is a device, a FIFO or a socket.")
def _not_regular(scene: Scene, file: File, interpreter: Interpreter | None) -> Diagnosis:
    what = words.file_type(file.stat.st_mode)
    directory = stat.S_ISDIR(file.stat.st_mode)
    code = "is-directory" if directory else "special-file"
    if interpreter is not None:
        code = "interpreter-not-executable"
    return scene.diagnosis(
        code,
        f"{chain.subject(scene, file)} is {what}; only a regular file can be executed.",
        f"{'' if interpreter is None else f'{interpreter.kind} is '}{what}",
        *_links_of(scene, interpreter),
    )


@cause("noexec-mount", errno.EACCES, manual="The file lies on a mount with noexec, which is named.")
@cause("interpreter-on-noexec-mount", errno.EACCES, manual="The interpreter lies on a mount with noexec.")
def _noexec(scene: Scene, file: File, interpreter: Interpreter | None) -> Diagnosis:
    mount = file.mount
    point, kind = ("?", "?") if mount is None else (mount.point, mount.file_system)
    code = "noexec-mount" if interpreter is None else "interpreter-on-noexec-mount"
    if never_executes(file):
        return scene.diagnosis(
            code,
            f"{chain.subject(scene, file)} lies on {words.quoted(point)}, a file system of type {kind},"
            " where the kernel executes nothing.",
            chain.brief(scene, file, f"nothing is executed on {point} ({kind})"),
        )
    other = _TEMPORARY if point in _SCRATCH else ""
    return scene.diagnosis(
        code,
        f"{chain.subject(scene, file)} lies on {words.quoted(point)}, which is mounted noexec.",
        f"noexec mount {point}" if interpreter is None else f"{interpreter.kind} on noexec mount {point}",
        f"The mount {words.quoted(point)} is of type {kind}, with the options"
        f" {','.join(sorted(mount.options)) if mount is not None else '?'}.",
        advice=f"Move the {'program' if interpreter is None else interpreter.kind} to a file system that"
        f" allows execution{other}.",
    )


@cause(
    "no-execute-permission",
    errno.EACCES,
    manual="The file's permissions or its ACL do not let this user execute it.",
    reads=(CAPABILITIES,),
)
@cause(
    "interpreter-not-executable",
    errno.EACCES,
    manual="This user may not execute the interpreter, or it is no regular file.",
    reads=(CAPABILITIES,),
)
def _no_permission(scene: Scene, file: File, verdict: Verdict, interpreter: Interpreter | None) -> Diagnosis:
    mode, bits = file.stat.st_mode, words.permissions(file.stat.st_mode)
    owner = scene.owner(file.stat)
    barred = f"for {scene.who} ({bits})" if mode & 0o111 else f"by anyone ({bits})"
    return scene.diagnosis(
        "no-execute-permission" if interpreter is None else "interpreter-not-executable",
        f"{scene.who} may not execute {chain.subject(scene, file, capital=False)} ({bits}, owner {owner}).",
        f"not executable {barred}"
        if interpreter is None
        else f"{interpreter.kind} not executable: {file.path}",
        verdict.by,
        *_links_of(scene, interpreter),
        advice=None if never_executes(file) else _permission_advice(scene, file, verdict, interpreter),
    )


def _permission_advice(scene: Scene, file: File, verdict: Verdict, interpreter: Interpreter | None) -> str:
    """Return what to do about permission bits or an ACL; only what looks like a program is to become one."""
    if file.elf is None and file.shebang is None:
        if interpreter is not None:
            return "It does not look like a program: let the script name another one."
        if file.stat.st_uid != scene.record.fsuid:
            return "It does not look like a program."
        return "It does not look like a program; give it execute permission (chmod +x) only if it is one."
    if not verdict.class_:
        return f"Look at its ACL, which decides here (getfacl); let {scene.who} execute it if that is meant."
    if file.stat.st_mode & 0o111:
        return f"Let {scene.who} execute it if that is meant."
    by_command = advise.command(scene, file, "Run `chmod +x {}` if it is meant to be a program.")
    return (
        by_command or "If it is meant to be a program, let its owner give it execute permission (chmod +x)."
    )


def _links_of(scene: Scene, interpreter: Interpreter | None) -> tuple[str, ...]:
    resolved = scene.target if interpreter is None else interpreter.resolved
    links = () if resolved is None else resolved.resolution.links[:5]
    return tuple(f"{words.quoted(link.path)} links to {words.quoted(link.target or '')}." for link in links)
