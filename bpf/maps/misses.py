"""How often a program did not run although its hook was reached.

The kernel lets no program run while it runs already on the same CPU. With full preemption that happens:
a task is put aside within one, and another comes to the same hook. The kernel counts it
(recursion_misses in /proc/PID/fdinfo, since 5.12), and a look there needs no privilege.

A kretprobe has room for some calls that are under way at once (10, or twice the processors' number), and an
exec may sleep. How often that was too little, the kernel tells of a probe's link since 6.7. Before, it tells
so only of probes that are defined in tracefs, where they would outlive this program if it were killed.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final, Protocol

from execwhy.bpf.maps.syscalls import missed_hits, missed_runs
from execwhy.bpf.program.plans import Hook

TABLE_FULL: Final = "table of execs under way full"
UNREADABLE: Final = "hooks of which it cannot be read how often the kernel skipped them"
"""Counted in hooks, not in execs: how many execs it may be is not known."""
_AGE: Final = 0.25
"""Seconds for which counts are good: looking takes a few microseconds for each program."""


class MissCounts(Protocol):
    """How often programs were skipped, by name of their hook."""

    def of_events(self) -> dict[str, int]:
        """Of hooks that tell of an event: each miss may be one that is lost."""

    def of_facts(self) -> dict[str, int]:
        """Of hooks that tell more of an event."""


class Misses:
    """The counts of all hooks, by name."""

    def __init__(self, hooks: Sequence[tuple[Hook, int]], links: Sequence[int]) -> None:
        """Watch hooks, each with the descriptor of its program, and those of their links."""
        self._hooks = hooks
        self._links = links
        self._read_at = float("-inf")
        self._counts = [0] * len(hooks)
        self._unreadable = 0

    def of_events(self) -> dict[str, int]:
        """Of hooks that tell of an event: each miss may be one that is lost."""
        return self._named(events=True)

    def of_facts(self) -> dict[str, int]:
        """Of hooks that tell more of an event."""
        facts = self._named(events=False)
        return facts | ({UNREADABLE: self._unreadable} if self._unreadable else {})

    def _named(self, *, events: bool) -> dict[str, int]:
        now = time.monotonic()
        if now - self._read_at > _AGE:
            runs = [missed_runs(program) for _, program in self._hooks]
            self._unreadable = runs.count(None)
            self._counts = [
                before if missed is None else missed + missed_hits(link)
                for before, missed, link in zip(self._counts, runs, self._links, strict=True)
            ]
            self._read_at = now
        return {
            f"{hook.kind} {hook.target} skipped by the kernel": count
            for (hook, _), count in zip(self._hooks, self._counts, strict=True)
            if count and hook.is_event == events
        }
