"""One look at a failed exec: the file that its path names, and the cause. Runs in a looker."""

from __future__ import annotations

import functools
from dataclasses import replace

from execwhy.bpf.caller.hierarchies import Hierarchies, are_several
from execwhy.bpf.caller.lookup import Files
from execwhy.bpf.events import clock
from execwhy.bpf.events.record import ExecFailure, Look
from execwhy.tui.why.causes import diagnose
from execwhy.tui.why.scene.mount_watch import watch_mounts


def prepare() -> None:
    """Start to watch mounts, whose past changes a look must know; called once in each looker."""
    watch_mounts()


def look_at(record: ExecFailure) -> Look:
    """Look at the file that a record names and find the cause. Never raises."""
    now = clock.now()
    cgroup = None
    hierarchies = _hierarchies()
    if hierarchies is not None:
        found = hierarchies.complete(record, now).materialize()
        if found.cgroup != record.cgroup:
            record, cgroup = found, found.cgroup
    seen = _files().complete(record, now).materialize()
    return Look(diagnose(seen), seen.binary, seen.interpreter_path, cgroup)


def with_look(record: ExecFailure, look: Look) -> ExecFailure:
    """Return the record with what a look at it found."""
    from execwhy.bpf.caller.cgroups import where_of

    facts = {} if look.cgroup is None else {"cgroup": look.cgroup, **where_of(look.cgroup)._asdict()}
    return replace(
        record,
        binary=look.binary or record.binary,
        interpreter_path=look.interpreter_path or record.interpreter_path,
        diagnosis=look.diagnosis,
        **facts,
    )


@functools.cache
def _hierarchies() -> Hierarchies | None:
    return Hierarchies() if are_several() else None


@functools.cache
def _files() -> Files:
    return Files()
