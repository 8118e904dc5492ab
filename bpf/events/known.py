"""What is worked out once and known again, within a bound in bytes.

A bound on the number of answers is none: what they are worked out of was chosen by a process, and may be as
long as a record has room for.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from sys import getsizeof
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from execwhy.bpf.events.record import ExecFailure

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

_SLOT: Final = 104
"""Bytes that an answer costs in a dict (CPython: 24 an entry, index and growth on top, at most)."""

_RECORD: Final = 1400
"""Bytes of a record with its numbers, beside the texts that are measured."""

_NESTS: Final = (tuple, list)


class Known(dict[K, V]):
    """A function's answers by its argument; one that is known is found without a call into Python.

    It forgets all at once where they exceed the bound, so that nothing has to be noted when one is used.

    Args:
        work_out: The function.
        most_bytes: The bound.
        weigh: The bytes of an argument, and of the answer if it does not grow with the argument.
    """

    def __init__(self, work_out: Callable[[K], V], most_bytes: int, weigh: Callable[[K], int]) -> None:
        super().__init__()
        self._work_out = work_out
        self._most_bytes = most_bytes
        self._weigh = weigh
        self._bytes = 0

    def __missing__(self, argument: K) -> V:
        size = self._weigh(argument) + _SLOT
        self._bytes += size
        if self._bytes > self._most_bytes:
            self.clear()
            self._bytes = size
        answer = self[argument] = self._work_out(argument)
        return answer


def size_of(value: Any) -> int:  # noqa: ANN401
    """Return the bytes that a value takes, including the elements of tuples and lists."""
    size = getsizeof(value)
    if isinstance(value, _NESTS):
        size += sum(map(getsizeof, value))
        size += sum(size_of(part) - getsizeof(part) for part in value if isinstance(part, _NESTS))
    return size


def size_of_record(record: ExecFailure) -> int:
    """Return about how many bytes a record takes."""
    texts = (record.path, record.cwd, record.cgroup, record.stdin_path, record.root, record.interpreter_path)
    strings = record.arguments, record.environment
    of_strings = sum(getsizeof(many) + sum(map(getsizeof, many)) for many in strings)
    return _RECORD + sum(map(getsizeof, texts)) + of_strings
