"""One open search: the tries that a task has made so far, and what they mean once it has ended."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from execwhy.bpf.events.record import Attempt, Outcome, Search
from execwhy.tui.model.search.representative import MOST_ATTEMPTS, supersedes
from execwhy.tui.model.search.search_path import CONTINUING, SearchPath, Try, in_default_path

TIMEOUT: Final = 2_000_000_000
"""Nanoseconds to wait for the next try. It usually follows within microseconds, but a slow network disk can
hold it up for longer."""

_PATH_OF_ONE: Final = 64
"""Bytes of path that weigh as much as one try."""


class OpenSearch:
    """Successive failed execs of one task for one name.

    Attributes:
        name: The name that is searched for.
        user: The caller's user, as ``user_of`` returns it.
        last: Timestamp of the last try.
        weight: The memory of the search, in tries of 64 bytes of path.
    """

    def __init__(self, name: str, user: int, tid: int, path: SearchPath | None) -> None:
        self.name = name
        self.user = user
        self.last = 0
        self._tid = tid
        self._path = path
        self._own_weight = 0 if path is None else len(path.value) // _PATH_OF_ONE
        self.weight = self._own_weight
        self._made: list[tuple[int, Attempt]] = []
        self._times: dict[str, int] = {}

    def __len__(self) -> int:
        """Return the number of tries."""
        return len(self._made)

    def has(self, number: int) -> bool:
        """Return whether the event with this number is one of the tries."""
        at = bisect_left(self._made, number, key=lambda one: one[0])
        return at < len(self._made) and self._made[at][0] == number

    def add(self, path: str, return_value: int, timestamp: int, number: int) -> None:
        """Add a try."""
        self._made.append((number, Attempt(path, return_value)))
        self.weight += _weight_of(path)
        self._times[path] = self._times.get(path, 0) + 1
        self.last = timestamp

    def is_of(self, tid: int) -> bool:
        """Return whether an exec is probably of the same task: the address of a task can be reused."""
        return tid == self._tid

    @property
    def numbers(self) -> list[int]:
        """The numbers of the events that are its tries."""
        return [number for number, _ in self._made]

    def retried(self, timestamp: int, number: int) -> None:
        """Replace the only try by its repetition."""
        self._made[0] = number, self._made[0][1]
        self.last = timestamp

    def goes_on(self, path: str, tried: Try) -> bool:
        """Return whether this exec is the next try. PATH may name a directory twice."""
        if tried.name != self.name:
            return False
        times = self._times.get(path, 0)
        return not times or times < tried.times

    def is_over(self, timestamp: int) -> bool:
        """Return whether the search had timed out by then."""
        return timestamp - self.last >= TIMEOUT

    def forget(self) -> None:
        """Start over, for the same name."""
        self.weight = self._own_weight
        self._made.clear()
        self._times.clear()

    def may_find(self, path: str) -> bool:
        """Return whether a successful exec of this path can have been the next try."""
        if path in self._times and (self.in_one_place or self._path is None):
            return False
        if self._path is None:
            return in_default_path(path)
        return self._path.comes_after(path, self._made[-1][1].path)

    @property
    def is_exhausted(self) -> bool:
        """Whether the last try was in the last directory of PATH, so that no further try can follow."""
        last = self._made[-1][1].path
        return self._path is not None and self._path.ends_at(last, self._times[last])

    @property
    def path_is_read(self) -> bool:
        """Whether PATH was read, so that the directories of the next tries are known."""
        return self._path is not None

    @property
    def in_one_place(self) -> bool:
        """Whether all tries were of one path: a search only if the program is then found elsewhere."""
        return len(self._times) < 2

    def results(self, search_id: int, outcome: Outcome, found_path: str | None) -> list[tuple[int, Search]]:
        """Return the number and the ``search`` of each try; an empty list where the tries are no search."""
        made = self._passed_over() if outcome == "found" else self._with_representative()
        fewest = 1 if outcome == "found" and self._path is not None else 2
        if len({attempt.path for _, attempt in made}) < fewest:
            return []
        folded = Search(search_id, self.name, len(made), outcome, found_path, folded=True)
        attempts = tuple(attempt for _, attempt in made[:MOST_ATTEMPTS])
        whole = replace(folded, attempts=attempts, folded=False)
        representative = _representative(made)
        return [(number, whole if number == representative else folded) for number, _ in made]

    def _passed_over(self) -> list[tuple[int, Attempt]]:
        return [one for one in self._made if -one[1].return_value in CONTINUING]

    def _with_representative(self) -> list[tuple[int, Attempt]]:
        """Return the tries after which execvp continues, and the one whose error it reports."""
        representative = _representative(self._made)
        return [one for one in self._made if -one[1].return_value in CONTINUING or one[0] == representative]


def _representative(made: Sequence[tuple[int, Attempt]]) -> int:
    """Return the number of the try whose row stands for the whole search."""
    number, value = made[0][0], made[0][1].return_value
    for later, attempt in made[1:]:
        if supersedes(attempt.return_value, value):
            number, value = later, attempt.return_value
    return number


def _weight_of(path: str) -> int:
    return 1 + len(path) // _PATH_OF_ONE
