"""Execs that the kernel itself starts (usermodehelper): which setting names the program."""

from __future__ import annotations

import dataclasses
import errno
from typing import Final

from execwhy.bpf.events.record import Diagnosis
from execwhy.tui.why.registry import cause
from execwhy.tui.why.scene import words
from execwhy.tui.why.scene.proc import read_proc
from execwhy.tui.why.scene.scene import Scene

_SETTINGS: Final = (
    ("kernel.modprobe", "/proc/sys/kernel/modprobe", "to load a module"),
    ("kernel.core_pattern", "/proc/sys/kernel/core_pattern", "to receive a core dump"),
    ("kernel.poweroff_cmd", "/proc/sys/kernel/poweroff_cmd", "to power off"),
    ("uevent_helper", "/sys/kernel/uevent_helper", "to handle a device event"),
    ("release_agent", "/sys/fs/cgroup/release_agent", "to clean up an empty cgroup"),
)

_FIXED: Final = frozenset({"/sbin/request-key", "/sbin/nfsdcltrack", "/sbin/drbdadm"})


def explain(scene: Scene, cause: Diagnosis) -> Diagnosis:
    """Add to the cause why the kernel wanted this program."""
    path = scene.record.path or ""
    for name, file, purpose in _SETTINGS:
        value = (read_proc(file) or "").strip().removeprefix("|")
        if path and value.split(" ")[0] == path:
            started = f"The kernel itself started it {purpose}; the path comes from {name}."
            advice = f"Let the setting {name} name a program that exists, or install {words.quoted(path)}."
            return _explained(cause, name, started, advice)
    if path in _FIXED:
        started = "The kernel itself started it, by a path that is fixed in its source."
        return _explained(cause, "a fixed path", started, f"Install {words.quoted(path)}.")
    started = "The kernel itself started it (usermodehelper); no setting that was looked at names it."
    return dataclasses.replace(cause, evidence=(started, *cause.evidence))


@cause(
    "missing-kernel-helper",
    errno.ENOENT,
    manual="A program that the kernel itself starts, such as modprobe, does not exist.",
)
def _explained(cause: Diagnosis, name: str, started: str, advice: str) -> Diagnosis:
    evidence = (started, *cause.evidence)
    if cause.code != "missing-file":
        return dataclasses.replace(cause, evidence=evidence)
    return dataclasses.replace(
        cause,
        code="missing-kernel-helper",
        brief=f"missing kernel helper of {name}",
        evidence=evidence,
        advice=advice,
    )
