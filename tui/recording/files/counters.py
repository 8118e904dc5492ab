"""The counters of one file of a recording: the difference between its end and its beginning."""

from __future__ import annotations

from collections.abc import Mapping

from execwhy.bpf.events.source import Counters


def difference(now: Counters, before: Counters) -> Counters:
    """Return what was counted between two states of the counters."""

    def by_name(names: Mapping[str, int], earlier: Mapping[str, int]) -> dict[str, int]:
        return {name: count - earlier.get(name, 0) for name, count in names.items()}

    return Counters(
        seen=now.seen - before.seen,
        recorded=now.recorded - before.recorded,
        suppressed=now.suppressed - before.suppressed,
        lost=now.lost - before.lost,
        losses=by_name(now.losses, before.losses),
        untold=now.untold - before.untold,
        untracked=now.untracked - before.untracked,
        incomplete=by_name(now.incomplete, before.incomplete),
        unreadable=now.unreadable - before.unreadable,
    )
