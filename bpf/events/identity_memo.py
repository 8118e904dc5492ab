"""What is worked out of a record once, and asked for many times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, Generic, TypeVar

from execwhy.bpf.events.arrivals import Occurrence
from execwhy.bpf.events.known import size_of, size_of_record
from execwhy.bpf.events.record import ExecFailure

T = TypeVar("T")

_MOST_KNOWN: Final = 2048
"""Records: a storm brings a few over and over."""

_MOST_BYTES: Final = 2 << 20
"""Of these records with their answers: 2,048 as they mostly come, and a hundred with 400 variables each."""


class IdentityMemo(Generic[T]):
    """A function of a record that remembers its answers, by the record's identity: comparing takes longer."""

    def __init__(self, work_out: Callable[[ExecFailure], T]) -> None:
        self._work_out = work_out
        # The records are held too: else the next one could have the identity of one that is gone.
        self._known: dict[int, tuple[ExecFailure, T]] = {}
        self._bytes = 0

    def __call__(self, record: ExecFailure) -> T:
        """What the function says of this record."""
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
    """Adds facts to failures; those that are alike and get the same share the record that has them."""

    def __init__(self) -> None:
        # What a key stands for is held as well, so that nothing else gets its identity.
        self._shared: dict[tuple[int, int], tuple[ExecFailure, ExecFailure, object]] = {}
        self._bytes = 0

    def enrich(
        self,
        failure: ExecFailure | Occurrence,
        told: object,
        **facts: Any,  # noqa: ANN401
    ) -> ExecFailure | Occurrence:
        """The failure with these facts; ``told`` is one object for as long as it tells the same facts."""
        template = failure.template
        if template is failure:
            return replace(template, **facts)
        key = id(template), id(told)
        shared = self._shared.get(key)
        if shared is None:
            size = size_of_record(template)
            self._bytes += size
            if len(self._shared) >= _MOST_KNOWN or self._bytes > _MOST_BYTES:
                self._shared.clear()
                self._bytes = size
            shared = self._shared[key] = replace(template, **facts), template, told
        return failure.with_template(shared[0])
