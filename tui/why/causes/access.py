"""EACCES on the way to a file: a directory that the caller may not search, or a link that is not followed."""

from __future__ import annotations

import errno
import stat

from execwhy.bpf.caller.lookup import ResolvedFile
from execwhy.bpf.caller.resolution import Resolution, Step
from execwhy.bpf.events.record import Diagnosis
from execwhy.tui.why.causes import chain
from execwhy.tui.why.registry import cause
from execwhy.tui.why.scene import words
from execwhy.tui.why.scene.credentials import Verdict, may_execute
from execwhy.tui.why.scene.files import Interpreter
from execwhy.tui.why.scene.proc import read_proc
from execwhy.tui.why.scene.readings import CAPABILITIES
from execwhy.tui.why.scene.scene import Scene


def unsearchable(
    scene: Scene, resolved: ResolvedFile, interpreter: Interpreter | None = None
) -> Diagnosis | None:
    """Report a directory that the caller may not search, or a link that it may not follow (EACCES)."""
    steps = resolved.resolution.steps
    needed = steps[:-1] if resolved.file is not None else steps
    for step in needed:
        if step.target is not None:
            continue
        if not step.is_directory:
            continue
        verdict = may_execute(scene.credentials, step.stat, step.acl)
        scene.note_permissions(step)
        scene.note_verdict(step.path, verdict)
        if verdict.allowed is False:
            return _not_searchable(scene, step, verdict, interpreter)
        if verdict.allowed is None:
            scene.doubts.append(
                f"Whether {scene.who} may enter {words.quoted(step.path)} depends on groups that"
                " were not read."
            )
    return _protected_link(scene, resolved.resolution)


@cause(
    "unsearchable-directory",
    errno.EACCES,
    manual="This user may not search a directory on the way, which is named.",
    reads=(CAPABILITIES,),
)
def _not_searchable(scene: Scene, step: Step, verdict: Verdict, interpreter: Interpreter | None) -> Diagnosis:
    bits, path = words.permissions(step.stat.st_mode), step.path
    whose = "" if interpreter is None else f" on the way to {chain.named(scene, interpreter, capital=False)}"
    return scene.diagnosis(
        "unsearchable-directory",
        f"{scene.who} may not enter the directory {words.quoted(path)}{whose} ({bits}, owner"
        f" {scene.owner(step.stat)}), so it cannot execute anything in it.",
        f"{scene.who} may not enter {path} ({bits})",
        verdict.by,
        advice=f"Let {scene.who} enter it if that is intended, or move the program to where it may go.",
    )


@cause(
    "protected-link",
    errno.EACCES,
    manual="A link in a sticky directory that the kernel does not follow (fs.protected_symlinks).",
)
def _protected_link(scene: Scene, resolution: Resolution) -> Diagnosis | None:
    """Report another user's link in a world-writable sticky directory (may_follow_link, fs/namei.c)."""
    if not resolution.links or (read_proc("/proc/sys/fs/protected_symlinks") or "0").strip() != "1":
        return None
    for number, step in enumerate(resolution.steps):
        directory = resolution.steps[number - 1]
        if step.target is None or number == 0 or not directory.is_directory:
            continue
        open_to_all = directory.stat.st_mode & (stat.S_ISVTX | stat.S_IWOTH) == stat.S_ISVTX | stat.S_IWOTH
        is_foreign = step.stat.st_uid not in (scene.record.fsuid, directory.stat.st_uid)
        if open_to_all and is_foreign and _is_at_end(scene, resolution, step):
            return scene.diagnosis(
                "protected-link",
                f"The link {words.quoted(step.path)} lies in a sticky directory that everybody may write,"
                f" and belongs neither to {scene.who} nor to the directory's owner, so the kernel does"
                " not follow it.",
                f"link of {scene.owner(step.stat)} in a sticky directory",
                "The sysctl fs.protected_symlinks is 1.",
                advice="Move the program and its link to a directory that only their owner may write.",
                lacking=scene.changed(step.path, step.stat),
            )
    return None


def _is_at_end(scene: Scene, resolution: Resolution, link: Step) -> bool:
    """Return whether a path ends with the link, so that both lead to the same file."""
    if resolution.asked.endswith(("/", "/.", "/..")):
        return False
    resolved = scene.aside(link.path)
    return resolved is not None and (resolved.resolution.path, resolved.resolution.end) == (
        resolution.path,
        resolution.end,
    )
