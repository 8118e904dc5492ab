"""Events that were lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, Literal

_FOOTPRINT: Final = 200


@dataclass(frozen=True, slots=True)
class Loss:
    """Events that were lost, at their place in time.

    Attributes:
        timestamp: When the loss was noticed: nanoseconds since 1970 UTC.
        count: How many.
        reason: The name of what was full: "ring buffer full".
        host: The host; only in a snapshot of several files opened together.
    """

    timestamp: int
    count: int
    reason: str
    host: str | None = None

    kind: ClassVar[Literal["loss"]] = "loss"
    event_count: ClassVar[int] = 1
    failure: ClassVar[None] = None
    search: ClassVar[None] = None
    footprint: ClassVar[int] = _FOOTPRINT

    def materialize(self) -> Loss:
        """Return itself."""
        return self
