"""The rows that a filter selects: which event each shows, and where an event's row is."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from execwhy.tui.model.history.columns import NO_NUMBER
from execwhy.tui.model.history.repeats import Repeats
from execwhy.tui.model.history.store import History
from execwhy.tui.model.query import Query
from execwhy.tui.model.view.part import Part
from execwhy.tui.model.view.scan import Scan
from execwhy.tui.model.view.selection import Offsets, Selection


class View:
    """The ids of the events to be shown, in time order; a loss is always among them.

    These are the events that the filter selects, without tries that another row represents, without searches
    that found their program unless they are asked for, and, where ``fold_repeats`` is set, without repeats
    of an earlier failure.

    Nothing happens by itself: ``refresh`` takes in what changed in the history, ``advance`` continues the
    scan of older events that a new filter begins, newest first.
    """

    def __init__(
        self,
        history: History,
        query: Query,
        clock: Callable[[], int] = time.time_ns,
        *,
        fold_repeats: bool = False,
    ) -> None:
        self._history = history
        self._scan = Scan(history, Selection(query, show_found=False, fold_repeats=fold_repeats), clock)

    @property
    def parts(self) -> Sequence[Part]:
        """What is selected of each block, oldest first."""
        return self._scan.parts

    @property
    def query(self) -> Query:
        """The filter. Setting it begins a new scan."""
        return self._scan.selection.query

    @query.setter
    def query(self, query: Query) -> None:
        self._scan.begin(Selection(query, self.show_found, self.fold_repeats))

    @property
    def show_found(self) -> bool:
        """Whether searches that found their program have a row. Setting it begins a new scan."""
        return self._scan.selection.show_found

    @show_found.setter
    def show_found(self, show_found: bool) -> None:
        self._scan.begin(Selection(self.query, show_found, self.fold_repeats))

    @property
    def fold_repeats(self) -> bool:
        """Whether a run of the same failure has one row. Setting it begins a new scan."""
        return self._scan.selection.fold_repeats

    @fold_repeats.setter
    def fold_repeats(self, fold_repeats: bool) -> None:
        self._scan.begin(Selection(self.query, self.show_found, fold_repeats))

    @property
    def complete(self) -> bool:
        """Whether every event held has been looked at, except those that came since ``refresh``."""
        return self._scan.complete

    @property
    def progress(self) -> float:
        """The part of the history that was looked at, from 0 to 1, by ids, so evicted events count too."""
        return self._scan.progress

    def refresh(self) -> bool:
        """Take in what was appended, changed, evicted or has grown too old; return whether rows changed."""
        return self._scan.refresh()

    def advance(self, seconds: float) -> bool:
        """Scan towards older events for about this long; return whether rows were found."""
        return self._scan.advance(seconds)

    @property
    def failures(self) -> int:
        """How many failed execs the filter selects: ``counted + folded + hidden_found``.

        Each exec counts alone, so that without a filter this is the history's ``failures``. Of a search's
        tries, a filter on the path selects those with that path and the one that represents them all.
        """
        return sum(part.failures for part in self.parts)

    @property
    def shown(self) -> int:
        """How many of them have a row."""
        return sum(part.shown for part in self.parts)

    def evicted(self) -> tuple[int, int]:
        """Return how many of ``shown`` and of ``counted`` have been evicted since the last ``refresh``."""
        gone = [part for part in self.parts if part.block.is_released]
        rows, counted = (
            [self._evicted(part, offsets(part)) for part in gone] for offsets in (_rows, _offsets)
        )
        return sum(rows), sum(counted)

    def _evicted(self, part: Part, offsets: Offsets) -> int:
        offsets = np.sort(offsets)
        gone = offsets[~self._history.holds(part.block.ids_of(offsets))]
        return len(gone) - int(np.count_nonzero(np.isin(gone, list(part.block.losses))))

    @property
    def counted(self) -> int:
        """How many of them a row counts: their own, or the row of the run that they repeat."""
        return sum(part.counted for part in self.parts)

    @property
    def folded(self) -> int:
        """How many of them another try of their search represents, shown or hidden."""
        return sum(part.folded for part in self.parts)

    @property
    def losses(self) -> int:
        """How many losses the rows show; a loss may share the row of the loss right before it."""
        return sum(part.losses for part in self.parts)

    @property
    def hidden_found(self) -> int:
        """How many selected searches are hidden because they found their program."""
        return self.failures - self.folded - self.counted

    @property
    def hidden(self) -> int:
        """How many of the failures are of these searches, each try counted."""
        return sum(part.hidden for part in self.parts)

    def __len__(self) -> int:
        return self._scan.row_starts()[-1]

    def __getitem__(self, row: int) -> int:
        """Return the id of the event in this row.

        Raises:
            IndexError: There is no such row.
        """
        if not 0 <= row < len(self):
            raise IndexError(row)
        part, at = self._place_of(row)
        return part.block.id_of(int(part.rows[at]))

    def is_loss(self, row: int) -> bool:
        """Return whether a row is a loss, even one that was evicted since the last ``refresh``."""
        part, at = self._place_of(row)
        return int(part.rows[at]) in part.block.losses

    def timestamp(self, row: int) -> int:
        """Return the timestamp of a row's event, even of one that was evicted since the last ``refresh``."""
        part, at = self._place_of(row)
        offset = int(part.rows[at])
        loss = part.block.losses.get(offset)
        return int(part.block.numbers["timestamp"][offset]) if loss is None else loss.timestamp

    def times(self, row: int) -> int:
        """Return how many failed execs this row counts, even evicted ones (see ``Part.times``)."""
        return sum(part.times(number) for part, number in self._continued(row))

    def repeats(self, row: int) -> Repeats:
        """Return how many failed execs this row counts, with the time of the last one."""
        repeats = [part.repeats(number) for part, number in self._continued(row)]
        return Repeats(sum(each.times for each in repeats), max(each.last for each in repeats))

    def lost(self, row: int) -> tuple[int, int]:
        """Return how many events the losses in this row add up to, and the timestamp of the last loss."""
        part, at = self._place_of(row)
        return part.lost(at)

    def _continued(self, row: int) -> Iterator[tuple[Part, int]]:
        """Yield the parts that a row covers, each with the number of the row in it."""
        parts, starts = self._scan.parts, self._scan.row_starts()
        index = bisect_right(starts, row) - 1
        number: int | None = parts[index].number_of(row - starts[index])
        while number is not None:
            yield parts[index], number
            index += 1
            number = parts[index].of_part_before(number) if index < len(parts) else None

    def _place_of(self, row: int) -> tuple[Part, int]:
        starts = self._scan.row_starts()
        index = bisect_right(starts, row) - 1
        return self._scan.parts[index], row - starts[index]

    def __iter__(self) -> Iterator[int]:
        for part in list(self.parts):
            yield from part.block.ids_of(part.rows).tolist()

    def row_of(self, event_id: int) -> int:
        """Return the row that shows or counts this event, else the nearest one before it; 0 if none is."""
        row = self._row_before(event_id)
        if row < len(self) and self[row] == event_id:
            return row
        shown = self._first_of_run(self._history.representative_of(event_id))
        return row if shown == event_id else self._row_before(shown)

    def row_at(self, timestamp: int) -> int:
        """Return the first row of that time or later; the last row if there is none so late."""
        starts = self._scan.row_starts()
        for part, start in zip(self.parts, starts, strict=False):
            if not len(part.rows) or part.block.newest < timestamp:
                continue
            late = np.flatnonzero(part.block.numbers["timestamp"][part.rows] >= timestamp)
            if len(late):
                return start + int(late[0])
        return max(0, len(self) - 1)

    def _first_of_run(self, event_id: int) -> int:
        """Return the event whose row counts this one, the first of its run; else the event itself."""
        parts = self._scan.parts
        index = bisect_right(parts, event_id, key=_first_id) - 1
        if index < 0:
            return event_id
        offset = parts[index].block.offset_of(event_id)
        number = None if offset is None else parts[index].number_for(offset)
        if number is None:
            return event_id
        while (before := parts[index].in_part_before(number)) is not None:
            index, number = index - 1, before
        return parts[index].block.id_of(parts[index].row_of(number))

    def _row_before(self, event_id: int) -> int:
        index = bisect_right(self._scan.parts, event_id, key=_first_id) - 1
        if index < 0:
            return 0
        part = self._scan.parts[index]
        within = int(np.searchsorted(part.rows, part.block.last_until(event_id), side="right"))
        return max(0, self._scan.row_starts()[index] + within - 1)

    def with_tries(self) -> list[int]:
        """Return the ids of the events shown and of those that their rows stand for, in time order."""
        ids: list[int] = []
        searches = np.unique(
            np.concatenate(
                [[NO_NUMBER], *(part.block.numbers["search_id"][part.offsets] for part in self.parts)]
            )
        )[1:]
        for part in self.parts:
            if part.block.is_released:
                # A frozen view still has events that were evicted since, but no longer knows their tries.
                ids += np.sort(part.block.ids_of(part.offsets)).tolist()
                continue
            wanted = self._scan.selection.folded(part.block, part.end)
            wanted &= np.isin(part.block.numbers["search_id"][: part.end], searches)
            wanted[part.offsets] = True
            ids += part.block.ids_of(np.flatnonzero(wanted)).tolist()
        return ids


def _rows(part: Part) -> Offsets:
    return part.rows


def _offsets(part: Part) -> Offsets:
    return part.offsets


def _first_id(part: Part) -> int:
    return part.block.first_id
