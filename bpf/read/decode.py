"""From the bytes of a raw record (``bpf.program.layout``) to an event, by its kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from execwhy.bpf.events.arrivals import Burst, Occurrence, SearchEnd
from execwhy.bpf.events.kinds import EXEC, FAILURES, SEARCH_END_CODE, by_kind
from execwhy.bpf.events.record import ExecFailure
from execwhy.bpf.program import layout
from execwhy.bpf.read.argv import NO_LIMITS
from execwhy.bpf.read.failed_exec import DecodeError, failed_exec, identify_task

if TYPE_CHECKING:
    from execwhy.bpf.read.ring import RecordRun

__all__ = ["DecodeError", "Decoder", "decode"]

DecodeFailure = Callable[[Sequence[Any], Sequence[bytes], int, tuple[int, int]], ExecFailure]
"""Makes a failure of the values of the header, the sections, the boot time, and limits of argv and envp."""

_DECODERS: Final[Mapping[str, DecodeFailure]] = by_kind({EXEC: failed_exec}, FAILURES)
_BY_CODE: Final = {kind.code: _DECODERS[kind.name] for kind in FAILURES}

_KNOWN_BYTES: Final = 1 << 20
"""Bytes of records that are known again: some 2,000, of which a storm needs a few. Decoded they take up to 16
times as much, where they have many short strings."""

_KIND_AT, _LOST_BEFORE_AT = layout.VALUES.index("kind"), layout.VALUES.index("lost_before")
_USED_AT: Final = layout.VALUES.index("used")
_LENGTHS: Final = slice(_USED_AT + 1, _USED_AT + 1 + len(layout.SECTIONS))
_TIMESTAMP_AT, _TASK_AT, _PID_AT, _TID_AT = map(layout.VALUES.index, ("timestamp", "task", "pid", "tid"))
_BITS_AT: Final = layout.VALUES.index("bits")
_PATH_AT: Final = layout.SECTIONS.index("path")


class Decoder:
    """Decodes records; one whose bytes repeat those of an earlier one is not decoded again.

    Args:
        boot_time: Nanoseconds since 1970 UTC at which the clock of the timestamps was zero.
        limits: Bytes of argv and envp to keep of the kernel's copy of them.
    """

    def __init__(self, boot_time: int, limits: tuple[int, int] = NO_LIMITS) -> None:
        self.boot_time = boot_time
        self._limits = limits
        self._known: dict[bytes, ExecFailure] = {}
        self._known_bytes = 0

    def decode(self, raw: bytes) -> tuple[ExecFailure | Occurrence | SearchEnd, int]:
        """Return one record, and how many events were lost on its CPU since the one before it.

        Args:
            raw: The record as the BPF program wrote it.

        Raises:
            DecodeError: ``raw`` is too short, its lengths do not add up, or its kind is unknown.
        """
        common = raw[layout.OWN_STRUCT.size :]
        known = self._known.get(common)
        if known is not None:
            return self._repeat(raw, known)
        report, lost_before = decode(raw, self.boot_time, self._limits)
        if (failure := report.failure) is not None:
            self._remember(common, failure)
        return report, lost_before

    def decode_alike(
        self, records: RecordRun
    ) -> list[tuple[ExecFailure | Occurrence | SearchEnd, int]] | list[tuple[Burst, int]]:
        """Return the same of records that differ only in time: one burst, or each alone if that cannot be.

        Raises:
            DecodeError: As of ``decode``.
        """
        known = self._known.get(records.raw[layout.OWN_STRUCT.size :])
        last, lost_before = (None, 0) if known is None else self._repeat(records.raw, known)
        if last is None or lost_before:
            common = records.raw[records.times.itemsize :]
            return [self.decode(time.tobytes() + common) for time in records.times]
        timestamps = records.times.astype(np.int64) + self.boot_time
        return [(Burst(last._replace(timestamp=int(timestamps[-1])), timestamps), 0)]

    def _repeat(self, raw: bytes, template: ExecFailure) -> tuple[Occurrence, int]:
        timestamp, started, task, pid, tid, lost_before = layout.OWN_STRUCT.unpack_from(raw)
        own_task = identify_task(task, pid) if template.task else 0
        return Occurrence(template, self.boot_time + timestamp, pid, tid, own_task, started), lost_before

    def _remember(self, common: bytes, record: ExecFailure) -> None:
        self._known_bytes += len(common)
        if self._known_bytes > _KNOWN_BYTES:
            self._known.clear()
            self._known_bytes = len(common)
        self._known[common] = record


def decode(
    raw: bytes, boot_time: int, limits: tuple[int, int] = NO_LIMITS
) -> tuple[ExecFailure | SearchEnd, int]:
    """Return one record, and how many events were lost on its CPU since the one before it.

    Args:
        raw: The record as the BPF program wrote it.
        boot_time: Nanoseconds since 1970 UTC at which the clock of its timestamp was zero.
        limits: Bytes of argv and envp to keep of the kernel's copy of them.

    Raises:
        DecodeError: ``raw`` is too short, its lengths do not add up, or its kind is unknown.
    """
    size = layout.HEADER_STRUCT.size
    if len(raw) < size:
        raise DecodeError(f"a record of {len(raw)} bytes is shorter than its header.")
    values = layout.HEADER_STRUCT.unpack_from(raw)
    lengths, used = values[_LENGTHS], values[_USED_AT]
    if sum(lengths) != used or size + used > len(raw):
        raise DecodeError(f"a record of {len(raw)} bytes has sections of {sum(lengths)} bytes.")
    sections = []
    at = size
    for length in lengths:
        sections.append(raw[at : at + length])
        at += length
    kind, lost_before = values[_KIND_AT], values[_LOST_BEFORE_AT]
    if kind in _BY_CODE:
        return _BY_CODE[kind](values, sections, boot_time, limits), lost_before
    if kind == SEARCH_END_CODE:
        return _search_end(values, sections, boot_time), lost_before
    raise DecodeError(f"a record of {len(raw)} bytes is of the unknown kind {kind}.")


def _search_end(values: Sequence[Any], sections: Sequence[bytes], boot_time: int) -> SearchEnd:
    found = sections[_PATH_AT][:-1].decode("utf-8", "surrogateescape")
    is_found = values[_BITS_AT] & layout.FOUND
    task = identify_task(values[_TASK_AT], values[_PID_AT])
    timestamp = boot_time + values[_TIMESTAMP_AT]
    return SearchEnd(timestamp, task, found if is_found else None, values[_TID_AT])
