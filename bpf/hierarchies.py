"""Cgroups where v1 hierarchies are mounted: the kernel program tells the one of v2 only.

On such a host (RHEL 8, Ubuntu before 21.10, systemd.unified_cgroup_hierarchy=0) a unit or a container may
be in v1 alone. The caller of an exec that failed moments ago mostly lives on and can be asked.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from bpf.cgroups import cgroup_in, where_of
from bpf.record import ExecFailure
from bpf.vantage import caller_of

_FRESH: Final = 250_000_000
"""Nanoseconds after which a caller is not asked any more: it is gone, or a storm keeps the reader busy."""


def are_several() -> bool:
    """Whether this host has v1 hierarchies."""
    return any(not line.startswith("0::") for line in _text("/proc/self/cgroup").splitlines())


def with_cgroup(record: ExecFailure, now: int) -> ExecFailure:
    """The record with the cgroup that tells most of where its caller runs; as it is where that is gone.

    Args:
        record: What failed; its ``cgroup`` is that of v2.
        now: The time on the clock of ``record.timestamp``, in nanoseconds.
    """
    if record.container_id is not None or now - record.timestamp > _FRESH:
        return record
    caller = caller_of(record)
    cgroup = None if caller is None else cgroup_in(_text(f"{caller}/cgroup"))
    if cgroup in (None, "/", record.cgroup):
        return record
    return replace(record, cgroup=cgroup, **where_of(cgroup)._asdict())


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""
