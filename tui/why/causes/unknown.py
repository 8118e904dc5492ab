"""Failures whose cause is not known: what was looked at, and why it does not show the cause."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import Final

from execwhy.bpf.caller.resolution import End, Resolution
from execwhy.bpf.events.record import Diagnosis
from execwhy.tui.why.causes import since
from execwhy.tui.why.registry import cause
from execwhy.tui.why.scene import caller, mounts, words
from execwhy.tui.why.scene.proof.names import NOT_SEEN
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
"""What the kernel means by errors that have one meaning in an exec and leave no trace."""

for _errno, _meaning_of_it in OTHER_MEANINGS.items():
    cause(errno.errorcode[_errno].lower(), _errno, manual=f"{_meaning_of_it[0].upper()}{_meaning_of_it[1:]}.")


@cause("namespace-gone", manual="The caller's root directory and mount namespace were gone before the look.")
def namespace_gone(scene: Scene) -> Diagnosis:
    """Report that the caller's root directory and mount namespace are gone, and its files with them."""
    record = scene.record
    return scene.diagnosis(
        "namespace-gone",
        f"The exec failed with {record.error}; the caller's root directory and its mount namespace"
        f" {record.mount_ns} were gone when looked at {scene.later}.",
        f"{words.strerror(record.return_value)}; its namespace is gone",
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
        advice="To see more, keep the namespace open: run the program with sh -c, followed by sleep 1.",
        lacking="None of the caller's files could be looked at.",
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
    """Report that no cause was found, with what was looked at."""
    record, resolved = scene.record, scene.target
    error, meaning = -record.return_value, words.strerror(record.return_value)
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
    resolution = resolved.resolution
    if resolution.end in NOT_SEEN:
        return _not_looked_at(scene, resolution)
    if error == errno.ENOENT and resolved.file is not None:
        return since.appeared(scene, resolved.file)
    if resolved.file is None and resolution.end is End.MISSING:
        return since.vanished(scene, resolution)
    if error in OTHER_MEANINGS:
        return _by_its_meaning(scene, *since.changes(scene))
    changed = since.changed(scene)
    if changed is not None:
        return changed
    found = "exists" if resolved.file is not None else f"was {resolution.end.value}"
    return scene.diagnosis(
        "unexplained",
        f"The exec failed with {record.error} ({meaning}), and nothing that was looked at"
        f" {scene.later} explains it.",
        meaning,
        f"{words.quoted(resolution.path)} {found}.",
        lacking="No cause that is known here fits.",
    )


def _not_looked_at(scene: Scene, resolution: Resolution) -> Diagnosis:
    """Report that the walk along the path was given up, and why."""
    record = scene.record
    meaning, shown = words.strerror(record.return_value), words.quoted(resolution.path)
    reason = {
        End.MAY_BLOCK: _not_entered(resolution),
        End.UNREADABLE: "could not be looked at",
        End.OUT_OF_TIME: "took too long to look at",
    }[resolution.end]
    if -record.return_value in OTHER_MEANINGS:
        return _by_its_meaning(scene, f"{shown} {reason}.")
    is_denied = record.error in ("EACCES", "EPERM")
    return scene.diagnosis(
        "not-looked-at",
        f"The exec failed with {record.error} ({meaning}); {shown} {reason}.",
        meaning,
        *(_refused_by_server(scene, resolution.path) if is_denied else ()),
        lacking="The file was not looked at.",
    )


def contradicted(scene: Scene, measured: str, *evidence: str, lacking: str | None = None) -> Diagnosis:
    """Return the diagnosis of an error whose usual cause is ruled out, such as a limit that is far off.

    Args:
        scene: The failed exec.
        measured: What rules it out; the end of a sentence.
        evidence: What else is known.
        lacking: Why it may have been the cause all the same.
    """
    record = scene.record
    meaning, forged = words.strerror(record.return_value), caller.forged(scene)
    return scene.diagnosis(
        "unexplained",
        f"The exec failed with {record.error} ({meaning}), which the facts {scene.later} do not explain:"
        f" {measured}.",
        f"{meaning}; not explained",
        *evidence,
        *(() if forged is None or lacking is None else (words.doubt(forged),)),
        lacking=lacking or forged or caller.undated(scene, "All this"),
    )


def _by_its_meaning(scene: Scene, *evidence: str) -> Diagnosis:
    """Report an error by its only meaning."""
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
    """Return why a network or FUSE file system may refuse a caller whom the permission bits let in."""
    mount = None if scene.caller_root is None else mounts.on_the_way(scene.caller_root, path)
    if mount is None:
        return ()
    if mount.file_system.startswith("nfs") and scene.record.fsuid == 0:
        return ("An NFS server treats root as nobody unless it exports with no_root_squash.",)
    if mount.file_system.startswith("fuse"):
        return (
            "A FUSE file system is closed to everybody except the user who mounted it, even to root, unless"
            " it is mounted with allow_other (or allow_root).",
        )
    return ()


def _not_entered(resolution: Resolution) -> str:
    """Return why a walk was given up before a file system."""
    mount = resolution.refused
    if mount is None:
        return f"{resolution.refusal}, and was not looked at because that could block"
    place = f"{words.quoted(mount.point)} ({mount.file_system})"
    return f"lies on {place}, a file system that is not looked into because that could block"
