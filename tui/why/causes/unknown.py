"""What is said where no cause can be named: what was looked at, and why that does not tell."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from typing import Final

from execwhy.bpf.caller.lookup import File
from execwhy.bpf.caller.resolution import End, Resolution
from execwhy.bpf.events.record import Binary, Diagnosis, ExecFailure
from execwhy.tui.why.registry import cause
from execwhy.tui.why.scene import caller, mounts, words
from execwhy.tui.why.scene.scene import Scene

OTHER_MEANINGS: Final[Mapping[int, str]] = {
    errno.EISDIR: "an interpreter is a directory",
    errno.ENODEV: "a device that the kernel needed does not exist",
    errno.ENXIO: "the device of a special file does not exist",
    errno.ESTALE: "the file's handle on a network file system is stale",
    errno.ETIMEDOUT: "a network file system did not answer in time",
    errno.EHOSTDOWN: "the server of a network file system is down",
    errno.ENOTCONN: "a FUSE file system has lost its server process",
    errno.EKEYREJECTED: "a signature of the file was rejected",
    errno.ENOKEY: "the key of the encrypted file, or of its signature, is missing",
    errno.EBADMSG: "the content of the file does not match its checksum (fs-verity, dm-verity)",
    errno.EUCLEAN: "the file system is damaged",
    errno.EOVERFLOW: "a number in the file is too large for this kind of program",
    errno.EINTR: "a signal interrupted the exec",
}
"""Errors with one meaning and no trace: what the kernel means by them in an exec."""

for _errno, _meaning_of_it in OTHER_MEANINGS.items():
    cause(errno.errorcode[_errno].lower(), _errno, manual=f"{_meaning_of_it[0].upper()}{_meaning_of_it[1:]}.")


@cause("vanished-since", manual="The file existed at the exec and was gone when it was looked at.")
@cause("replaced-since", manual="Another file has its name now.")
def contradiction(scene: Scene) -> Diagnosis | None:
    """The file of the event is gone, or another has its name now: then only the event itself counts."""
    record, binary, resolved = scene.record, scene.record.binary, scene.target
    if binary is None or resolved is None:
        return None
    same = any(
        (file.stat.st_ino, file.device_id) == (binary.inode_number, binary.device_id)
        for file in scene.files()
    )
    if same:
        return None
    if resolved.file is None and resolved.resolution.personal:
        return _personal(scene, binary)
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
            lacking="The file that failed could not be looked at any more.",
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
        lacking="The file that failed could not be looked at any more.",
    )


def _personal(scene: Scene, binary: Binary) -> Diagnosis:
    """The path led through /proc/self: what it meant is gone with the caller, and the file may be there."""
    record = scene.record
    return scene.diagnosis(
        "vanished-since",
        f"The exec failed with {record.error} ({_meaning(record)}); {words.quoted(record.path or '')} leads"
        f" to what the caller itself had open, and the caller was gone when looked at {scene.later}.",
        f"{_meaning(record)}; the caller is gone {scene.later}",
        f"It was {words.quoted(binary.path or '?')}, inode {binary.inode_number} on"
        f" {_device(scene, binary)}, mode {words.mode(binary.inode_mode)}.",
        lacking="The file could not be looked at without the caller.",
    )


def _device(scene: Scene, binary: Binary) -> str:
    return mounts.device(binary.device, scene.caller_root, binary.path)


@cause("namespace-gone", manual="The caller's root directory and mount namespace were gone before the look.")
def namespace_gone(scene: Scene) -> Diagnosis:
    """Nothing of the caller's files can be seen any more."""
    record = scene.record
    return scene.diagnosis(
        "namespace-gone",
        f"The exec failed with {record.error}; the caller's root directory and its mount namespace"
        f" {record.mount_ns} were gone when looked at {scene.later}.",
        f"{_meaning(record)}; its namespace is gone",
        *(
            (f"The file was {words.quoted(binary.path or '?')}, mode {words.mode(binary.inode_mode)}.",)
            if (binary := record.binary) is not None
            else ()
        ),
        *(
            (f"Its interpreter was {words.quoted(record.interpreter_path)}.",)
            if record.interpreter_path
            else ()
        ),
        advice="Keep the namespace open to see more: run the program in it by sh -c, and sleep 1 after it.",
        lacking="None of the caller's files could be looked at.",
    )


@cause(
    "appeared-since",
    errno.ENOENT,
    manual="Every file that the exec needs exists now, so one has appeared since.",
)
@cause(
    "not-looked-at",
    manual="The file was not looked at: it lies on a file system that is left alone (see CAVEATS) or could"
    ' not be reached, the look did not end in time ("not looked at in time"), its process was ended,'
    " or looking for causes has stopped.",
)
@cause(
    "unexplained",
    manual="Nothing that was looked at explains the error, or what was measured contradicts it: a limit that"
    " is far from reached, strings that can all be read. A seccomp filter can return any error; the"
    " evidence says whether the caller has or may have one.",
)
def unexplained(scene: Scene) -> Diagnosis:
    """No cause was found."""
    record, resolved = scene.record, scene.target
    error = -record.return_value
    meaning = _meaning(record)
    if resolved is None:
        why = (
            f"file descriptor {record.dirfd} is gone with its owner"
            if scene.by_descriptor
            else "where its path begins is not known"
        )
        return scene.diagnosis(
            "not-looked-at",
            f"The exec failed with {record.error} ({meaning}); the file could not be looked at, as {why}.",
            meaning,
            lacking="The file was not looked at.",
        )
    end = resolved.resolution.end
    if end in (End.MAY_BLOCK, End.UNREADABLE, End.OUT_OF_TIME):
        reason = {
            End.MAY_BLOCK: _not_entered(scene, resolved.resolution),
            End.UNREADABLE: "could not be looked at",
            End.OUT_OF_TIME: "took too long to look at",
        }[end]
        if error in OTHER_MEANINGS:
            return _by_its_meaning(scene, f"{words.quoted(resolved.resolution.path)} {reason}.")
        refused = (
            _refused_by_server(scene, resolved.resolution.path)
            if error in (errno.EACCES, errno.EPERM)
            else ()
        )
        return scene.diagnosis(
            "not-looked-at",
            f"The exec failed with {record.error} ({meaning}); {words.quoted(resolved.resolution.path)}"
            f" {reason}.",
            meaning,
            *refused,
            lacking="The file was not looked at.",
        )
    if error == errno.ENOENT and resolved.file is not None:
        return scene.diagnosis(
            "appeared-since",
            f"{words.quoted(resolved.file.path)} and what it needs exist when looked at {scene.later},"
            " so something that was missing has appeared since.",
            f"exists {scene.later}",
            *_other_interpreter(scene, resolved.file),
            lacking="What was missing at the exec cannot be seen any more.",
        )
    if resolved.file is None and end is End.MISSING:
        return scene.diagnosis(
            "vanished-since",
            f"The exec failed with {record.error} ({meaning}), which does not fit what was seen"
            f" {scene.later}: {words.quoted(resolved.resolution.path)} does not exist, so something has"
            f" been removed"
            " since.",
            f"{meaning}; {resolved.resolution.path} is gone {scene.later}",
            lacking="What has been removed could not be looked at any more.",
        )
    if error in OTHER_MEANINGS:
        return _by_its_meaning(scene, *_changes(scene))
    changed = _changed(scene)
    if changed is not None:
        return changed
    found = "exists" if resolved.file is not None else f"was {end.value}"
    state = f"{words.quoted(resolved.resolution.path)} {found}"
    return scene.diagnosis(
        "unexplained",
        f"The exec failed with {record.error} ({meaning}), and nothing that was looked at"
        f" {scene.later} explains it.",
        meaning,
        f"{state}.",
        lacking="No cause that is known here fits.",
    )


def contradicted(scene: Scene, measured: str, *evidence: str, lacking: str | None = None) -> Diagnosis:
    """Return what is said where a limit that the error is about was not reached.

    Args:
        scene: The failed exec.
        measured: What was measured and the limit, the end of a sentence.
        evidence: What else is known.
        lacking: Why the limit may have been reached at the exec all the same.
    """
    record = scene.record
    forged = caller.forged(scene)
    return scene.diagnosis(
        "unexplained",
        f"The exec failed with {record.error} ({_meaning(record)}), which the facts {scene.later} do not"
        f" explain: {measured}.",
        f"{_meaning(record)}; not explained",
        *evidence,
        *(() if forged is None or lacking is None else (words.doubt(forged),)),
        lacking=lacking or forged or caller.undated(scene, "All this"),
    )


def _by_its_meaning(scene: Scene, *evidence: str) -> Diagnosis:
    """An error that can hardly mean more than one thing."""
    record = scene.record
    meaning = OTHER_MEANINGS[-record.return_value]
    return scene.diagnosis(
        record.error.lower(),
        f"The exec failed with {record.error}, by which the kernel means that {meaning}.",
        meaning,
        *evidence,
        lacking="This is what the error means; nothing that could be looked at shows it.",
    )


def _refused_by_server(scene: Scene, path: str) -> tuple[str, ...]:
    """Why a network or FUSE file system refuses one whom the permission bits allow it."""
    mount = None if scene.caller_root is None else mounts.on_the_way(scene.caller_root, path)
    if mount is None:
        return ()
    if mount.file_system.startswith("nfs") and scene.record.fsuid == 0:
        return ("An NFS server takes root for nobody unless it exports with no_root_squash.",)
    if mount.file_system.startswith("fuse"):
        return (
            "A FUSE file system is closed to all but the user who mounted it, even to root, unless it is"
            " mounted with allow_other (or allow_root).",
        )
    return ()


def _not_entered(scene: Scene, resolution: Resolution) -> str:
    """Why a walk went no further."""
    mount = resolution.refused
    if mount is None:
        return f"{resolution.refusal}, and was not looked at as that could block"
    place = f"{words.quoted(mount.point)} ({mount.file_system})"
    return f"lies on {place}, a file system that is not looked into as that could block"


def _changes(scene: Scene) -> list[str]:
    """What has changed since the exec, or may have, among the files that were looked at."""
    return [change for file in scene.files() if (change := scene.changed(file.path, file.stat)) is not None]


@cause(
    "changed-since", manual="Nothing prevents the exec now; the file or its interpreter has changed since."
)
def _changed(scene: Scene) -> Diagnosis | None:
    """Nothing is in the way now, but something has changed since the exec, or at about its time."""
    record, binary = scene.record, scene.record.binary
    changes = _changes(scene)
    file = next(scene.files(), None)
    if not (changes or scene.changes) or file is None:
        return None
    what = f"{words.quoted(file.path)} or its interpreter" if changes else "something on the way to it"
    now = file.stat.st_mode
    modes: tuple[str, ...] = ()
    if binary is not None and binary.inode_mode != now:
        modes = (f"Its mode was {words.mode(binary.inode_mode)} and is {words.mode(now)} now.",)
    facts = (*changes, *modes, *_other_interpreter(scene, file))
    failed = f"The exec failed with {record.error} ({_meaning(record)}), and nothing"
    surely = scene.way_has_changed or any(scene.has_changed(one.stat) for one in scene.files())
    if not surely and not modes:
        return scene.diagnosis(
            "unexplained",
            f"{failed} that was looked at {scene.later} explains it: {what} changed at about the time of the"
            " exec, perhaps only after it.",
            f"{_meaning(record)}; changed at about that time",
            *facts,
            lacking="What it was like at the exec cannot be seen any more.",
        )
    return scene.diagnosis(
        "changed-since",
        f"{failed} is in its way when looked at {scene.later}: {what} has changed since.",
        f"changed {scene.later}",
        *facts,
        lacking="What it was like at the exec cannot be seen any more.",
    )


def _other_interpreter(scene: Scene, file: File) -> tuple[str, ...]:
    """What the file named right after the exec, where that is another interpreter than it names now."""
    then = scene.record.interpreter_path
    if then is None or then == file.interpreter:
        return ()
    now = "none" if file.interpreter is None else words.quoted(file.interpreter)
    return (f"Its interpreter was {words.quoted(then)} and is {now} now.",)


def _meaning(record: ExecFailure) -> str:
    return os.strerror(-record.return_value).lower()
