"""ENOENT: the file, its interpreter, or the descriptor of a script does not exist."""

from __future__ import annotations

import errno
import os
from typing import Final

from execwhy.bpf.caller.caller_root import AT_FDCWD
from execwhy.bpf.caller.lookup import AT_EMPTY_PATH, File, ResolvedFile
from execwhy.bpf.events.record import Diagnosis
from execwhy.tui.why.causes.absent import paths
from execwhy.tui.why.causes.format import shebang
from execwhy.tui.why.registry import cause, finds
from execwhy.tui.why.scene import caller, handlers, words
from execwhy.tui.why.scene.files import is_found
from execwhy.tui.why.scene.proc import read_proc
from execwhy.tui.why.scene.scene import Scene

_O_CLOEXEC: Final = os.O_CLOEXEC
_DELETED: Final = " (deleted)"
"""What the kernel appends to the path of a removed directory (d_path)."""


@finds(errno.ENOENT)
@cause("empty-path", errno.ENOENT, manual="The path is empty.")
def explain(scene: Scene) -> list[Diagnosis]:
    """Return the causes of an ENOENT."""
    record, resolved = scene.record, scene.target
    if record.path == "" and not (record.flags or 0) & AT_EMPTY_PATH:
        return [
            scene.diagnosis("empty-path", "The path is empty; it names no file.", "the path is empty"),
        ]
    if resolved is None:
        gone = _start_is_gone(scene)
        return [] if gone is None else [gone]
    removed = _start_is_removed(scene, resolved)
    if removed is not None:
        return [removed]
    on_the_way = paths.missing(scene, resolved)
    if on_the_way is not None:
        return [on_the_way]
    causes = [cause for cause in (_interpreter(scene), _close_on_exec(scene), _handler(scene)) if cause]
    return causes or _by_elimination(scene)


def _interpreter(scene: Scene) -> Diagnosis | None:
    for interpreter in scene.interpreters:
        if interpreter.resolved is None:
            continue
        carriage_return = shebang.carriage_return(scene, interpreter)
        if carriage_return is not None:
            return carriage_return
        cause = paths.missing(scene, interpreter.resolved, interpreter)
        if cause is not None:
            return cause
    return None


def _close_on_exec(scene: Scene) -> Diagnosis | None:
    """Report a script that closes on exec: its interpreter gets it as /dev/fd/N and cannot open that."""
    file = scene.target.file if scene.target is not None else None
    if not scene.by_descriptor or file is None or file.shebang is None:
        return None
    record = scene.record
    process = scene.process.directory
    text = None if process is None else read_proc(f"{process}/task/{record.tid}/fdinfo/{record.dirfd}")
    flags = next((line.split()[1] for line in (text or "").splitlines() if line.startswith("flags:")), None)
    if flags is None or not int(flags, 8) & _O_CLOEXEC:
        return None
    return _closed(scene, "The descriptor's flags have O_CLOEXEC.", file)


def _by_elimination(scene: Scene) -> list[Diagnosis]:
    """Report close-on-exec if the caller is gone and nothing else explains why a script was missing."""
    file = scene.target.file if scene.target is not None else None
    exists = all(is_found(interpreter.resolved) for interpreter in scene.interpreters)
    if (
        scene.process.directory
        or not scene.by_descriptor
        or file is None
        or file.shebang is None
        or not exists
    ):
        return []
    evidence = "The script and its interpreter exist."
    lacking = f"File descriptor {scene.record.dirfd} is gone with its owner, so its flags could not be read."
    return [_closed(scene, evidence, *scene.files(), lacking=lacking)]


@cause(
    "close-on-exec-script",
    errno.ENOENT,
    manual="The descriptor of a script is closed on exec, before its interpreter can read it.",
)
def _closed(scene: Scene, evidence: str, *files: File, lacking: str | None = None) -> Diagnosis:
    return scene.diagnosis(
        "close-on-exec-script",
        f"File descriptor {scene.record.dirfd} is a script and closes on exec, so its interpreter could not"
        " have opened it.",
        "script descriptor closes on exec",
        evidence,
        advice="Open the script without O_CLOEXEC, or execute it by its path.",
        lacking=lacking,
    )


@cause(
    "missing-binfmt-interpreter",
    errno.ENOENT,
    manual="A binfmt_misc handler matches the file, but its interpreter does not exist.",
)
def _handler(scene: Scene) -> Diagnosis | None:
    """Report a binfmt_misc handler that takes the file and whose interpreter is missing."""
    file, path = scene.target.file if scene.target is not None else None, scene.record.path or ""
    handler = None if file is None else handlers.handler_of(file, path)
    # With the flag F the interpreter was opened when it was registered.
    if file is None or handler is None or not handler.enabled or "F" in handler.flags:
        return None
    resolved = scene.look(handler.interpreter)
    if resolved is None or resolved.file is not None:
        return None
    return scene.diagnosis(
        "missing-binfmt-interpreter",
        f"{words.quoted(file.path)} is taken by the binfmt_misc handler {words.quoted(handler.name)}, whose"
        f" interpreter {words.quoted(handler.interpreter)} does not exist here.",
        f"missing binfmt_misc handler {handler.interpreter}",
        advice="Install it there, or remove the handler.",
        lacking=handlers.unseen(scene)
        or handlers.undated(scene, handler, file, path)
        or caller.forged(scene),
    )


@cause(
    "descriptor-of-removed-directory",
    errno.ENOENT,
    manual="The directory of the descriptor that was passed to execveat was removed.",
)
def _start_is_removed(scene: Scene, resolved: ResolvedFile) -> Diagnosis | None:
    """Report that the path begins in a removed directory, in which nothing can be found."""
    resolution = resolved.resolution
    start = resolution.steps[0] if resolution.steps else None
    if resolution.asked.startswith("/") or start is None or len(resolution.steps) > 1:
        return None
    if not start.is_directory or start.stat.st_nlink:
        return None
    name = start.path.removesuffix(_DELETED)
    if scene.by_descriptor:
        return scene.diagnosis(
            "descriptor-of-removed-directory",
            f"The path {words.quoted(resolution.asked)} begins at file descriptor {scene.record.dirfd}, the"
            f" directory {words.quoted(name)}, which has been removed.",
            f"dirfd {scene.record.dirfd} is a removed directory",
        )
    return _working_directory_gone(
        scene,
        name,
    )


@cause(
    "working-directory-gone",
    errno.ENOENT,
    manual="The path is relative, and the working directory was removed.",
)
def _working_directory_gone(scene: Scene, name: str, lacking: str | None = None) -> Diagnosis:
    return scene.diagnosis(
        "working-directory-gone",
        f"The path {words.quoted(scene.record.path or '')} is relative, and the working directory"
        f" {words.quoted(name)} no longer exists.",
        f"removed working directory {name}",
        advice="Change to a directory that exists, for example with `cd /`, in the process that starts it.",
        lacking=lacking,
    )


def _start_is_gone(scene: Scene) -> Diagnosis | None:
    """Report that a relative path begins in a working directory that was removed."""
    record = scene.record
    if record.dirfd not in (None, AT_FDCWD) or record.cwd is None or record.path is None:
        return None
    directory = record.cwd.removesuffix(_DELETED)
    lacking: str | None
    resolved = scene.look(directory)
    if resolved is None or paths.explain_walk(scene, resolved, errno.ENOENT) is None:
        return None
    if record.cwd == directory:
        lacking = f"It may have been removed since; it was looked at {scene.later}."
    else:
        lacking = f"There is {words.quoted(record.cwd)}." if is_found(scene.look(record.cwd)) else None
    return _working_directory_gone(scene, directory, lacking=lacking)
