"""What is worked out of a record once, and asked for many times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, Generic, TypeVar

from bpf.record import Again, ExecFailure

T = TypeVar("T")

_MOST_KNOWN: Final = 2048
"""Records: a storm brings a few over and over."""


class PerRecord(Generic[T]):
    """A function of a record that remembers its answers, by the record's identity: comparing takes longer."""

    def __init__(self, work_out: Callable[[ExecFailure], T]) -> None:
        self._work_out = work_out
        # The records are held too: else the next one could have the identity of one that is gone.
        self._known: dict[int, tuple[ExecFailure, T]] = {}

    def __call__(self, record: ExecFailure) -> T:
        """What the function says of this record."""
        known = self._known.get(id(record))
        if known is not None:
            return known[1]
        answer = self._work_out(record)
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[id(record)] = record, answer
        return answer


class Added:
    """Adds facts to failures; those that are alike and get the same share the record that has them."""

    def __init__(self) -> None:
        # What a key stands for is held as well, so that nothing else gets its identity.
        self._shared: dict[tuple[int, int], tuple[ExecFailure, ExecFailure, object]] = {}

    def to(self, failure: ExecFailure | Again, told: object, **facts: Any) -> ExecFailure | Again:  # noqa: ANN401
        """The failure with these facts; ``told`` is one object for as long as it tells the same facts."""
        if isinstance(failure, ExecFailure):
            return replace(failure, **facts)
        key = id(failure.first), id(told)
        shared = self._shared.get(key)
        if shared is None:
            if len(self._shared) >= _MOST_KNOWN:
                self._shared.clear()
            shared = self._shared[key] = replace(failure.first, **facts), failure.first, told
        return Again(shared[0], *failure[1:])
