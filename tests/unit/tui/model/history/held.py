"""What the history holds of an event."""

from __future__ import annotations

from dataclasses import replace

from execwhy.bpf.events.arrivals import Event
from execwhy.bpf.events.record import ExecFailure


def as_held(event: Event) -> Event:
    """Return an event as the history gives it back: without the task, which only searches need."""
    return replace(event, task=0) if isinstance(event, ExecFailure) else event
