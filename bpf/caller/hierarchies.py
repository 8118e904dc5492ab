"""Cgroups on hosts with v1 hierarchies: the kernel program records that of v2 only.

On such a host (RHEL 8, Ubuntu before 21.10, systemd.unified_cgroup_hierarchy=0) a unit or a container may be
in v1 alone. The caller of an exec that failed moments ago is mostly still alive, and /proc shows its cgroups.
"""

from __future__ import annotations

from typing import Final

from cachetools import TTLCache

from execwhy.bpf.caller.cgroups import cgroup_in, where_of
from execwhy.bpf.caller.processes import caller_of
from execwhy.bpf.events.arrivals import Occurrence
from execwhy.bpf.events.identity_memo import Enricher
from execwhy.bpf.events.record import ExecFailure

_FRESH: Final = 250_000_000
"""Nanoseconds after which /proc is no longer read: the caller is gone, or a storm keeps the reader busy."""

_SECONDS: Final = 0.25
"""How long an answer is kept: a process is moved to its cgroup before it execs."""

_ENTRIES: Final = 4096


def are_several() -> bool:
    """Whether this host has v1 hierarchies."""
    return any(not line.startswith("0::") for line in _text("/proc/self/cgroup").splitlines())


class Hierarchies:
    """Put the most informative cgroup of their caller into failures."""

    def __init__(self) -> None:
        self._known: TTLCache[tuple[int, int | None], str] = TTLCache(_ENTRIES, _SECONDS)
        self._enricher = Enricher()

    def complete(self, failure: ExecFailure | Occurrence, now: int) -> ExecFailure | Occurrence:
        """Return the failure with that cgroup; unchanged if its caller is gone.

        Args:
            failure: The failure; its ``cgroup`` is that of v2.
            now: The time on the clock of its timestamp, in nanoseconds.
        """
        first = failure.template
        if first.container_id is not None:
            return failure
        cgroup = self._known.get((failure.pid, failure.started))
        if cgroup is None:
            if now - failure.timestamp > _FRESH:
                return failure
            caller = caller_of(failure)
            cgroup = ("" if caller is None else cgroup_in(_text(f"{caller}/cgroup"))) or ""
            self._known[failure.pid, failure.started] = cgroup
        if cgroup in ("", "/", first.cgroup):
            return failure
        return self._enricher.enrich(failure, cgroup, cgroup=cgroup, **where_of(cgroup)._asdict())


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""
