"""Results that are computed from a record once and used many times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, Generic, TypeVar

from execwhy.bpf.events.arrivals import Occurrence
from execwhy.bpf.events.known import size_of, size_of_record
from execwhy.bpf.events.record import ExecFailure

T = TypeVar("T")

_MOST_KNOWN: Final = 2048
"""Records: a storm repeats a few of them."""

_MOST_BYTES: Final = 2 << 20
"""Bytes of these records and their answers: 2,048 typical ones, or a hundred with 400 variables each."""


class IdentityMemo(Generic[T]):
    """A function of a record that caches its answers by ``id(record)``: comparing records takes longer."""

    def __init__(self, work_out: Callable[[ExecFailure], T]) -> None:
        self._work_out = work_out
        # The records are kept as well, so that no other record gets the same id.
        self._known: dict[int, tuple[ExecFailure, T]] = {}
        self._bytes = 0

    def __call__(self, record: ExecFailure) -> T:
        """Return the answer for this record."""
        known = self._known.get(id(record))
        if known is not None:
            return known[1]
        answer = self._work_out(record)
        size = size_of_record(record) + size_of(answer)
        self._bytes += size
        if len(self._known) >= _MOST_KNOWN or self._bytes > _MOST_BYTES:
            self._known.clear()
            self._bytes = size
        self._known[id(record)] = record, answer
        return answer


class Enricher:
    """Adds facts to failures. Occurrences of one template that get the same facts share one record."""

    def __init__(self) -> None:
        # Both objects of a key are kept as well, so that no other object gets the same id.
        self._shared: dict[tuple[int, int], tuple[ExecFailure, ExecFailure, object]] = {}
        self._bytes = 0

    def enrich(
        self,
        failure: ExecFailure | Occurrence,
        source: object,
        **facts: Any,  # noqa: ANN401
    ) -> ExecFailure | Occurrence:
        """Return the failure with these facts. The same object as ``source`` means the same facts."""
        template = failure.template
        if template is failure:
            return replace(template, **facts)
        key = id(template), id(source)
        shared = self._shared.get(key)
        if shared is None:
            size = size_of_record(template)
            self._bytes += size
            if len(self._shared) >= _MOST_KNOWN or self._bytes > _MOST_BYTES:
                self._shared.clear()
                self._bytes = size
            shared = self._shared[key] = replace(template, **facts), template, source
        return failure.with_template(shared[0])
