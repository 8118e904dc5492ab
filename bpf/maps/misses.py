"""Count how often a program did not run although its hook was reached.

The kernel does not run a program while it is already running on the same CPU. With full preemption that
happens: a task is preempted inside a program, and another one reaches the same hook. The kernel counts this
(recursion_misses in /proc/PID/fdinfo, since 5.12), and reading it needs no privilege.

A kretprobe has room for a number of concurrent calls (10, or twice the number of processors), and an exec may
sleep. Since 6.7 the kernel reports for a probe's link how often there was no room. Before that it does so
only for probes defined in tracefs, which would outlive this program if it were killed.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final, Protocol

from execwhy.bpf.maps.syscalls import missed_hits, missed_runs
from execwhy.bpf.program.plans import Hook

TABLE_FULL: Final = "table of execs under way full"
UNREADABLE: Final = "hooks of which it cannot be read how often the kernel skipped them"
"""A number of hooks, not of execs: the number of execs is not known."""
_AGE: Final = 0.25
"""Seconds for which counts are valid: reading them takes a few microseconds for each program."""


class MissCounts(Protocol):
    """How often programs were skipped, by the names of their hooks."""

    def of_events(self) -> dict[str, int]:
        """Return the counts of hooks that report an event: each miss may be a lost event."""

    def of_facts(self) -> dict[str, int]:
        """Return the counts of hooks that add facts to an event."""


class Misses:
    """The counts of all hooks."""

    def __init__(self, hooks: Sequence[tuple[Hook, int]], links: Sequence[int]) -> None:
        """Take hooks, each with the descriptor of its program, and the descriptors of their links."""
        self._hooks = hooks
        self._links = links
        self._read_at = float("-inf")
        self._counts = [0] * len(hooks)
        self._unreadable = 0

    def of_events(self) -> dict[str, int]:
        """Return the counts of hooks that report an event: each miss may be a lost event."""
        return self._named(events=True)

    def of_facts(self) -> dict[str, int]:
        """Return the counts of hooks that add facts to an event."""
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
