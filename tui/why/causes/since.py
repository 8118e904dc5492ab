"""The file was removed, replaced or changed between the exec and the look, or has appeared since."""

from __future__ import annotations

import errno
from typing import Final

from execwhy.bpf.caller.lookup import File
from execwhy.bpf.caller.resolution import End, Resolution
from execwhy.bpf.events.record import Binary, Diagnosis
from execwhy.tui.why.registry import cause
from execwhy.tui.why.scene import mounts, words
from execwhy.tui.why.scene.scene import Scene

_NOT_SEEN: Final = "The file that failed could no longer be looked at."
_STATE_NOT_SEEN: Final = "What it was like at the exec can no longer be seen."


@cause("vanished-since", manual="The file existed at the exec and was gone when it was looked at.")
@cause("replaced-since", manual="Another file has its name now.")
def removed_or_replaced(scene: Scene) -> Diagnosis | None:
    """Report that the kernel's file is gone, or that another one has its name now."""
    record, binary, resolved = scene.record, scene.record.binary, scene.target
    if binary is None or resolved is None:
        return None
    is_there = any(
        (file.stat.st_ino, file.device_id) == (binary.inode_number, binary.device_id)
        for file in scene.files()
    )
    if is_there:
        return None
    if resolved.file is None and resolved.resolution.personal:
        return _gone_with_caller(scene, binary)
    shown = words.quoted(binary.path or record.path or "?")
    facts = [
        f"At the time of the exec it was inode {binary.inode_number} on {_device(scene, binary)}, mode"
        f" {words.permissions(binary.inode_mode)}."
    ]
    if record.interpreter_path is not None:
        facts.append(f"Its interpreter was {words.quoted(record.interpreter_path)}.")
        found = scene.look(record.interpreter_path)
        if found is not None and found.resolution.end is End.MISSING:
            facts.append(f"{words.quoted(record.interpreter_path)} does not exist {scene.later}.")
    if resolved.file is None and resolved.resolution.end in (End.MISSING, End.NOT_A_DIRECTORY):
        return scene.diagnosis(
            "vanished-since",
            f"{shown} existed when the exec failed with {record.error}, but was gone when looked at"
            f" {scene.later}.",
            f"gone {scene.later}",
            *facts,
            lacking=_NOT_SEEN,
        )
    if resolved.file is None:
        return None
    return scene.diagnosis(
        "replaced-since",
        f"{shown} was replaced by another file between the exec, which failed with {record.error},"
        f" and the look {scene.later}.",
        f"replaced {scene.later}",
        *facts,
        f"Now it is inode {resolved.file.stat.st_ino}, mode {words.permissions(resolved.file.stat.st_mode)}.",
        lacking=_NOT_SEEN,
    )


def _gone_with_caller(scene: Scene, binary: Binary) -> Diagnosis:
    """Report a path through /proc/self: where it led is known to the caller alone."""
    record = scene.record
    meaning = words.strerror(record.return_value)
    return scene.diagnosis(
        "vanished-since",
        f"The exec failed with {record.error} ({meaning}); {words.quoted(record.path or '')} leads to what"
        f" the caller itself had open, and the caller was gone when looked at {scene.later}.",
        f"{meaning}; the caller is gone {scene.later}",
        f"It was {words.quoted(binary.path or '?')}, inode {binary.inode_number} on"
        f" {_device(scene, binary)}, mode {words.mode(binary.inode_mode)}.",
        lacking="The file could not be looked at without the caller.",
    )


def _device(scene: Scene, binary: Binary) -> str:
    return mounts.device(binary.device, scene.caller_root, binary.path)


@cause(
    "appeared-since",
    errno.ENOENT,
    manual="Every file that the exec needs exists now, so one has appeared since.",
)
def appeared(scene: Scene, file: File) -> Diagnosis:
    """Report that the file and all that it needs exist now, after an ENOENT."""
    return scene.diagnosis(
        "appeared-since",
        f"{words.quoted(file.path)} and what it needs exist when looked at {scene.later}, so something that"
        " was missing has appeared since.",
        f"exists {scene.later}",
        *_other_interpreter(scene, file),
        lacking="What was missing at the exec can no longer be seen.",
    )


def vanished(scene: Scene, resolution: Resolution) -> Diagnosis:
    """Report that the file does not exist now, after another error than ENOENT."""
    record = scene.record
    meaning = words.strerror(record.return_value)
    return scene.diagnosis(
        "vanished-since",
        f"The exec failed with {record.error} ({meaning}), which does not fit what was seen {scene.later}:"
        f" {words.quoted(resolution.path)} does not exist, so something has been removed since.",
        f"{meaning}; {resolution.path} is gone {scene.later}",
        lacking="What has been removed could no longer be looked at.",
    )


@cause(
    "changed-since",
    manual="Nothing prevents the exec now; the file or its interpreter has changed since.",
)
def changed(scene: Scene) -> Diagnosis | None:
    """Report that nothing prevents the exec now, and what has changed since, or at about that time."""
    record, binary = scene.record, scene.record.binary
    found = changes(scene)
    file = next(scene.files(), None)
    if not (found or scene.changes) or file is None:
        return None
    what = f"{words.quoted(file.path)} or its interpreter" if found else "something on the way to it"
    now = file.stat.st_mode
    modes: tuple[str, ...] = ()
    if binary is not None and binary.inode_mode != now:
        modes = (f"Its mode was {words.mode(binary.inode_mode)} and is {words.mode(now)} now.",)
    facts = (*found, *modes, *_other_interpreter(scene, file))
    meaning = words.strerror(record.return_value)
    failed = f"The exec failed with {record.error} ({meaning}), and nothing"
    surely = scene.way_has_changed or any(scene.has_changed(one.stat) for one in scene.files())
    if not surely and not modes:
        return scene.diagnosis(
            "unexplained",
            f"{failed} that was looked at {scene.later} explains it: {what} changed at about the time of the"
            " exec, perhaps only after it.",
            f"{meaning}; changed at about that time",
            *facts,
            lacking=_STATE_NOT_SEEN,
        )
    return scene.diagnosis(
        "changed-since",
        f"{failed} is in its way when looked at {scene.later}: {what} has changed since.",
        f"changed {scene.later}",
        *facts,
        lacking=_STATE_NOT_SEEN,
    )


def changes(scene: Scene) -> list[str]:
    """Return which of the files have changed since the exec, or may have, a sentence each."""
    return [change for file in scene.files() if (change := scene.changed(file.path, file.stat)) is not None]


def _other_interpreter(scene: Scene, file: File) -> tuple[str, ...]:
    """Return which interpreter the file named right after the exec, if it names another one now."""
    then = scene.record.interpreter_path
    if then is None or then == file.interpreter:
        return ()
    now = "none" if file.interpreter is None else words.quoted(file.interpreter)
    return (f"Its interpreter was {words.quoted(then)} and is {now} now.",)
