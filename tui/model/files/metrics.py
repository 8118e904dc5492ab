"""Counters and totals in Prometheus's text format, for node_exporter's textfile collector.

OpenMetrics would not do: its HELP and TYPE name a counter without ``_total``, and node_exporter would then
show the counter without type and help.

Only names from the program itself become labels, never strings of processes. Their number is limited all the
same, because each label is a time series for ever.

All users may read the file, but a look sees what its caller may not. So that nobody can find out from a
counter what is in a directory that is closed to them, a cause is counted by name only in two cases: if it is
certain, because the caller then learns as much from the error itself, and if it rests on the call alone, for
which no file is looked at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from execwhy.bpf.events.record import Diagnosis
from execwhy.bpf.events.source import Stage, Status

MAX_SERIES: Final = 200
"""Series in one family; there are some 130 errors and 90 causes. Any more are counted as "other"."""

_OTHER: Final = "other"

_UNCERTAIN: Final = "uncertain"

_OF_THE_CALL: Final = frozenset(
    {
        "bad-argument-pointer", "bad-descriptor", "bad-path-pointer", "descriptor-limit",
        "no-such-system-call", "process-limit", "system-file-limit",
    }
)  # fmt: skip
"""Causes that rest on no file; none of them is ever certain."""


def label_of(diagnosis: Diagnosis) -> str:
    """Return the name under which a cause is counted."""
    known = diagnosis.certain or diagnosis.code in _OF_THE_CALL
    return diagnosis.code if known else _UNCERTAIN


class Totals:
    """Counts by name: the first ``MAX_SERIES`` names have their own count, all others count as "other"."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, name: str, count: int = 1) -> None:
        """Add to the count of a name."""
        if name not in self._counts and len(self._counts) >= MAX_SERIES:
            name = _OTHER
        self._counts[name] += count

    def items(self) -> list[tuple[str, int]]:
        """Return each name and its count, sorted by name."""
        return sorted(self._counts.items())


def escaped(value: str) -> str:
    """Return a label's value, escaped for quotes; bytes that are not valid UTF-8 become U+FFFD."""
    text = value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def text(status: Status, errors: Totals, causes: Totals, now: int) -> str:
    """Return the content of the file.

    Args:
        status: The state of the source.
        errors: Failed execs by the name of their errno.
        causes: Failed execs by the code of their diagnosis.
        now: Nanoseconds since 1970 UTC.
    """
    counters = status.counters
    names = {"seen": counters.seen, "recorded": counters.recorded, "suppressed": counters.suppressed}
    families = [
        *(
            _family(f"execs_{name}_total", "counter", f"Failed execs {name}.", [({}, count)])
            for name, count in names.items()
        ),
        _family(
            "execs_lost_total",
            "counter",
            "Failed execs that were lost, by what was full; seen = recorded + suppressed + lost.",
            [({"reason": reason}, count) for reason, count in sorted(_losses(status).items())],
        ),
        _family(
            "failures_total",
            "counter",
            "Failed execs by error.",
            [({"error": n}, c) for n, c in errors.items()],
        ),
        _family(
            "causes_total",
            "counter",
            'Failed execs by cause; "uncertain" where the cause is not proven.',
            [({"why": n}, c) for n, c in causes.items()],
        ),
        _family(
            "live",
            "gauge",
            "1 while the hooks are attached.",
            [({"plan": status.origin.plan or "none"}, int(status.stage is Stage.LIVE))],
        ),
        _family("written_seconds", "gauge", "When this was written, since 1970 UTC.", [({}, now / 1e9)]),
    ]
    return "".join(families)


def _losses(status: Status) -> Mapping[str, int]:
    losses = dict(status.counters.losses)
    unnamed = status.counters.lost - sum(losses.values())
    return losses | {"unknown": unnamed} if unnamed > 0 or not losses else losses


def _family(name: str, kind: str, said: str, samples: list[tuple[dict[str, str], float]]) -> str:
    return "".join(_lines(f"execwhy_{name}", kind, said, samples))


def _lines(name: str, kind: str, said: str, samples: list[tuple[dict[str, str], float]]) -> Iterator[str]:
    yield f"# HELP {name} {said}\n# TYPE {name} {kind}\n"
    for labels, value in samples:
        shown = ",".join(f'{key}="{escaped(label)}"' for key, label in labels.items())
        yield f"{name}{{{shown}}} {value}\n" if shown else f"{name} {value}\n"
