"""Successive events, column by column."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from execwhy.bpf.events.arrivals import Burst, Event, Failure, Occurrence, separate_losses
from execwhy.bpf.events.loss import Loss
from execwhy.bpf.events.record import Look, Search
from execwhy.tui.model.history.column import Column, Pools
from execwhy.tui.model.history.columns import (
    BLANK_NUMBERS,
    GROUPS,
    NO_NUMBER,
    NUMBERS,
    OWN_GROUPS,
    SEARCH,
    look_keys,
    place_in_cgroup,
    record_of,
    search_keys,
)
from execwhy.tui.model.history.repeats import RUN_COLUMNS, RunFinder, Runs, run_facts

__all__ = ["BYTES_AN_EVENT", "Block", "Column", "Mask", "Numbers", "Offsets", "Pools"]

Numbers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Offsets = npt.NDArray[np.integer]

BYTES_AN_EVENT: Final = 4 * len(GROUPS) + 8 * len(NUMBERS) + 2
"""Bytes for each event in the arrays of a block that still grows."""


class Block:
    """Up to ``capacity`` events, whose ids follow one another.

    Attributes:
        first_id: The id of its first event.
        capacity: How many events fit.
        numbers: The arrays of ``NUMBERS``.
        columns: The columns of ``GROUPS``.
        runs: The offset of the first event of each event's run (see ``repeats``).
        continued: The runs that began in the block before: the offset of their first event here, and there.
        losses: The losses in the block, by offset. Their rows in the columns are blank.
        version: Grows with every diagnosis that is set later.
        search_version: Grows with every search that is set later.
        oldest: The smallest timestamp.
        newest: The largest timestamp.
        represented: How many evicted events each event represents besides itself; None: none does.
        lasts: The latest timestamp of each event and those that it represents; None where ``represented`` is.
        is_released: Whether it has left the history, so that its values are gone.
    """

    represented: Numbers | None = None
    lasts: Numbers | None = None

    def __init__(self, first_id: int, capacity: int, pools: Pools, before: Block | None = None) -> None:
        self.first_id = first_id
        self.capacity = capacity
        self.numbers: dict[str, Numbers] = {name: np.zeros(capacity, np.int64) for name in NUMBERS}
        self.columns = {name: Column(pools.of[name], capacity) for name in GROUPS}
        self.runs: Runs = np.zeros(capacity, np.uint16)
        self.losses: dict[int, Loss] = {}
        self.version = 0
        self.search_version = 0
        self.oldest = 2**63 - 1
        self.newest = NO_NUMBER
        self._run_finder: RunFinder = RunFinder(None if before is None else before._run_finder)
        self.continued = self._run_finder.continued
        self.is_released = False
        self._length = 0

    def __len__(self) -> int:
        return self._length

    @property
    def end_id(self) -> int:
        """The id after that of its last event."""
        return self.first_id + self._length

    def ids_of(self, offsets: Offsets) -> Numbers:
        """Return the ids of the events at these offsets."""
        return offsets.astype(np.int64) + self.first_id

    def id_of(self, offset: int) -> int:
        """Return the id of the event at an offset."""
        return self.first_id + offset

    def offset_of(self, event_id: int) -> int | None:
        """Return the offset of an event; None where it is not in the block."""
        offset = event_id - self.first_id
        return offset if 0 <= offset < self._length else None

    def offsets_of(self, event_ids: Numbers) -> Numbers:
        """Return the offsets of the events that are in the block; the ids ascend, within its range."""
        return event_ids - self.first_id

    def last_until(self, event_id: int) -> int:
        """Return the offset of the last event up to this id; -1 where all come later."""
        return min(event_id - self.first_id, self._length - 1)

    @property
    def run_count(self) -> int:
        """The number of runs that have an event in the block."""
        return int(np.count_nonzero(self.runs[: self._length] == np.arange(self._length)))

    @property
    def nbytes(self) -> int:
        """Bytes in use, without the values in the pools."""
        arrays = sum(numbers.nbytes for numbers in self.numbers.values())
        return arrays + self.runs.nbytes + sum(column.nbytes for column in self.columns.values())

    def append_burst(self, burst: Burst) -> None:
        """Append a burst; there must be room.

        Raises:
            OverflowError: As in ``append``.
        """
        start, stop = self._length, self._length + len(burst)
        for name, get in NUMBERS.items():
            self.numbers[name][start:stop] = get(burst.last)
        self.numbers["timestamp"][start:stop] = burst.timestamps
        first = burst.template
        key = list(run_facts(first))
        for name, group in GROUPS.items():
            column = self.columns[name]
            code_of = column.code_of
            code = code_of(group.key(burst.last if name in OWN_GROUPS else first))
            column.codes[start:stop] = code
            if name in RUN_COLUMNS:
                key.append(column.entries[code].slot)
        self.runs[start:stop] = self._run_finder.take_burst(tuple(key), burst.timestamps, start)
        self.oldest = min(self.oldest, int(burst.timestamps[0]))
        self.newest = max(self.newest, burst.timestamp)
        self._length = stop

    def append(self, events: Sequence[Event | Occurrence]) -> None:
        """Append events; there must be room.

        Raises:
            OverflowError: A time, a pid or a search's id needs more than 64 bits; nothing was taken in.
        """
        start, stop = self._length, self._length + len(events)
        failures, losses = separate_losses(events, start)
        encoded = {
            name: np.fromiter(map(get, failures), np.int64, len(failures)) for name, get in NUMBERS.items()
        }
        lost_at = np.fromiter((loss.timestamp for loss in losses.values()), np.int64, len(losses))
        if losses:
            self._add_losses(losses, lost_at)
        if failures:
            offsets = [at for at in range(start, stop) if at not in losses] if losses else range(start, stop)
            where = np.array(offsets) if losses else slice(start, stop)
            for name, numbers in encoded.items():
                self.numbers[name][where] = numbers
            keys = self._encode(failures, where)
            times = encoded["timestamp"].tolist()
            self.runs[where] = self._run_finder.take(keys, times, offsets)
            self.oldest = min(self.oldest, int(encoded["timestamp"].min()))
            self.newest = max(self.newest, int(encoded["timestamp"].max()))
        self._length = stop

    def _add_losses(self, losses: Mapping[int, Loss], timestamps: Numbers) -> None:
        """Keep losses, by offset; their rows in the columns are blank."""
        self.losses.update(losses)
        offsets = np.fromiter(losses, np.intp, len(losses))
        for name, blank in BLANK_NUMBERS.items():
            self.numbers[name][offsets] = blank
        self.numbers["timestamp"][offsets] = timestamps
        for name, group in GROUPS.items():
            self.columns[name].codes[offsets] = self.columns[name].code_of(group.blank)
        self.runs[offsets] = offsets
        self.oldest = min(self.oldest, int(timestamps.min()))
        self.newest = max(self.newest, int(timestamps.max()))

    def _encode(self, records: Sequence[Failure], where: slice | Offsets) -> Iterator[tuple[object, ...]]:
        """Fill the columns, and return the key of each record's run.

        What many records share, as in a storm, is looked up once.
        """
        templates = [record.template for record in records]
        identities = list(map(id, templates))
        distinct = dict(zip(identities, templates, strict=True))
        places = dict(zip(distinct, range(len(distinct)), strict=True))
        place_of = np.fromiter(map(places.__getitem__, identities), np.intp, len(records))
        run_slots: list[list[int]] = []
        for name, group in GROUPS.items():
            column = self.columns[name]
            own = name in OWN_GROUPS
            encoded: Collection[Failure] = records if own else distinct.values()
            codes = np.fromiter(map(column.code_of, map(group.key, encoded)), np.uint32, len(encoded))
            column.codes[where] = codes if own else codes[place_of]
            if name in RUN_COLUMNS:
                run_slots.append([column.entries[code].slot for code in codes.tolist()])
        keys = [
            (*run_facts(record), *slots) for record, *slots in zip(distinct.values(), *run_slots, strict=True)
        ]
        return map(keys.__getitem__, place_of.tolist())

    def seal(self) -> None:
        """Let go of unused room: no more events are appended. Diagnoses and searches may still be set."""
        self.capacity = self._length
        self.numbers = {name: numbers[: self._length].copy() for name, numbers in self.numbers.items()}
        self.runs = self.runs[: self._length].copy()
        self._run_finder = RunFinder()
        for column in self.columns.values():
            column.seal(self._length)

    def __getitem__(self, offset: int) -> Event:
        loss = self.losses.get(offset)
        if loss is not None:
            return loss
        return record_of(
            {name: int(numbers[offset]) for name, numbers in self.numbers.items()},
            {name: column.entries[column.codes[offset]].value for name, column in self.columns.items()},
        )

    def set_look(self, offsets: Sequence[int] | Numbers, look: Look) -> None:
        """Add what one look found to the records that it is for; none of them is a loss."""
        for name, key in look_keys(look).items():
            self.columns[name].put(offsets, key)
        if look.cgroup is not None:
            self._set_cgroup(np.asarray(offsets), look.cgroup)
        self.version += 1

    def _set_cgroup(self, offsets: Offsets, cgroup: str) -> None:
        column = self.columns["place"]
        codes = column.codes[offsets]
        for code in np.unique(codes).tolist():
            column.put(offsets[codes == code], place_in_cgroup(column.entries[code].value, cgroup))

    def set_search(self, offset: int, search: Search) -> None:
        """Replace the search of one record."""
        self.numbers["search_id"][offset] = search.id
        for name, key in search_keys(search).items():
            self.columns[name].put(offset, key)
        self.search_version += 1

    def tries_of(self, search_id: int) -> list[int]:
        """Return the offsets of the tries of a search."""
        found: list[int] = np.flatnonzero(self.numbers["search_id"][: self._length] == search_id).tolist()
        return found

    def is_folded(self, offset: int) -> bool:
        """Return whether this record is a try that another one represents."""
        column = self.columns["search"]
        key = column.entries[column.codes[offset]].value
        return key is not None and bool(key[SEARCH.index("folded")])

    def release(self) -> None:
        """Give the values back to the pools. The events can no longer be read afterwards."""
        self.is_released = True
        for column in self.columns.values():
            column.pool.release(column.entries)
            column.entries.clear()
