"""ETXTBSY: a process has the program open for writing."""

from __future__ import annotations

import errno

from execwhy.bpf.events.record import Diagnosis
from execwhy.tui.why.causes import chain
from execwhy.tui.why.registry import cause, finds
from execwhy.tui.why.scene import caller, words
from execwhy.tui.why.scene.files import is_regular
from execwhy.tui.why.scene.processes import holders
from execwhy.tui.why.scene.scene import Scene


@finds(errno.ETXTBSY)
@cause(
    "open-for-writing",
    errno.ETXTBSY,
    manual="The file is open for writing, by the process that is named; or may have been.",
)
def explain(scene: Scene) -> list[Diagnosis]:
    """Name the processes that have the file, or its interpreter, open for writing."""
    files = [file for file in scene.files() if is_regular(file)]
    left_out: list[str] = []
    for file in files:
        found = holders.writers(scene, file)
        if not found.holders:
            left_out += () if found.left_out is None else (found.left_out,)
            continue
        first = found.holders[0]
        names = words.listed(
            [f"{one.comm} (pid {one.pid}, fd {one.descriptor})" for one in found.holders[:5]]
        )
        return [
            scene.diagnosis(
                "open-for-writing",
                f"{chain.subject(scene, file)} is open for writing: {scene.later} {names} had it open.",
                chain.brief(scene, file, f"open for writing by {first.comm} (pid {first.pid})"),
                f"Seen {scene.later}, in /proc/{first.pid}/fdinfo/{first.descriptor}.",
                advice="To replace a program in use, write a new file and rename it over the old one.",
                lacking=caller.forged(scene)
                or "When it was opened is not known, because a descriptor has no timestamp.",
            )
        ]
    if not files:
        return []
    which = words.quoted(files[0].path) if len(files) == 1 else "The file or its interpreter"
    return [
        scene.diagnosis(
            "open-for-writing",
            f"{which} may have been open for writing; {scene.later}, no process was found holding it open for"
            " writing.",
            "perhaps open for writing",
            *(f"{words.quoted(file.path)} was looked for." for file in files),
            *left_out,
            advice="Often a child that was forked while the file was being written held it for a moment;"
            " try again.",
            lacking=caller.forged(scene) or "No process was seen to have it open.",
        )
    ]
