"""EACCES on the way to a file: a directory that the caller may not search, a link that is not followed."""

from __future__ import annotations

import stat

from bpf.lookup import Sight
from bpf.record import Diagnosis
from bpf.walk import Step, Trail
from tui.why import chain, words
from tui.why.credentials import Verdict, may_execute
from tui.why.scene import Interpreter, Scene, read_proc


def unsearchable(scene: Scene, sight: Sight, interpreter: Interpreter | None = None) -> Diagnosis | None:
    """EACCES on the way: a directory that the caller may not search, or a link that it may not follow."""
    steps = sight.trail.steps
    needed = steps[:-1] if sight.file is not None else steps
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
    return _protected_link(scene, sight.trail)


def _not_searchable(scene: Scene, step: Step, verdict: Verdict, interpreter: Interpreter | None) -> Diagnosis:
    bits, path = words.permissions(step.stat.st_mode), step.path
    whose = "" if interpreter is None else f" on the way to {chain.named(scene, interpreter, capital=False)}"
    return scene.diagnosis(
        "unsearchable-directory",
        f"{scene.who} may not enter the directory {words.quoted(path)}{whose} ({bits}, owner"
        f" {scene.owner(step.stat)}), so it cannot execute anything in it.",
        f"{scene.who} may not enter {path} ({bits})",
        verdict.by,
        advice=f"Let {scene.who} enter it only if that is meant, or move the program where it may go.",
    )


def _protected_link(scene: Scene, trail: Trail) -> Diagnosis | None:
    """may_follow_link() of fs/namei.c: a foreign link at the end, in a sticky directory for all."""
    if not trail.links or (read_proc("/proc/sys/fs/protected_symlinks") or "0").strip() != "1":
        return None
    for number, step in enumerate(trail.steps):
        directory = trail.steps[number - 1]
        if step.target is None or number == 0 or not directory.is_directory:
            continue
        open_to_all = directory.stat.st_mode & (stat.S_ISVTX | stat.S_IWOTH) == stat.S_ISVTX | stat.S_IWOTH
        is_foreign = step.stat.st_uid not in (scene.record.fsuid, directory.stat.st_uid)
        if open_to_all and is_foreign and _is_at_end(scene, trail, step):
            return scene.diagnosis(
                "protected-link",
                f"The link {words.quoted(step.path)} lies in a sticky directory that all may write,"
                f" and belongs neither to {scene.who} nor to the directory's owner, so the kernel does"
                " not follow it.",
                f"link of {scene.owner(step.stat)} in a sticky directory",
                "The sysctl fs.protected_symlinks is 1.",
                advice="Let the program lie, and its link, in a directory that only their owner may write.",
                lacking=scene.changed(step.path, step.stat),
            )
    return None


def _is_at_end(scene: Scene, trail: Trail, link: Step) -> bool:
    """Whether a path ends with the link, whose target then is what the whole path leads to."""
    if trail.asked.endswith(("/", "/.", "/..")):
        return False
    sight = scene.aside(link.path)
    return sight is not None and (sight.trail.path, sight.trail.end) == (trail.path, trail.end)
