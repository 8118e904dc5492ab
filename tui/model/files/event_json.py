"""Events as JSON objects, each kind in its own form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from execwhy.bpf.events.arrivals import Event
from execwhy.bpf.events.kinds import FAILURES, LOSS, by_kind
from execwhy.bpf.events.loss import Loss
from execwhy.tui.model.files.json_values import natural, optional, rfc3339, text, timestamp
from execwhy.tui.model.files.record_json import record_from_json, record_to_json


def _loss_to_json(loss: Loss, *, show_secrets: bool) -> dict[str, object]:
    del show_secrets
    where = {} if loss.host is None else {"host": loss.host}
    return {"lost": loss.count, "timestamp": rfc3339(loss.timestamp), "reason": loss.reason} | where


def _loss_from_json(obj: Mapping[str, object]) -> Loss:
    return Loss(
        timestamp=timestamp("timestamp", obj.get("timestamp")),
        count=natural("lost", obj["lost"]),
        reason=text("reason", obj.get("reason")),
        host=optional(text)("host", obj.get("host")),
    )


_WRITERS: Final[Mapping[str, Callable[..., dict[str, object]]]] = by_kind(
    dict.fromkeys(FAILURES, record_to_json) | {LOSS: _loss_to_json}
)
"""Failures of every kind share one form: ``kind`` is a field of the record."""


def event_to_json(event: Event, *, show_secrets: bool) -> dict[str, object]:
    """Return an event as an object, ready for ``json.dumps(..., ensure_ascii=True)``.

    Args:
        event: The event.
        show_secrets: Secret-looking values are written as they are, not masked.
    """
    return _WRITERS[event.kind](event, show_secrets=show_secrets)


def event_from_json(obj: Mapping[str, object]) -> Event:
    """Return the event that ``event_to_json`` made an object of.

    A loss is known by its member "lost": it has no "kind".

    Raises:
        RecordError: A value has a wrong type or is out of range, or one without a default is missing.
    """
    return _loss_from_json(obj) if "lost" in obj else record_from_json(obj)
