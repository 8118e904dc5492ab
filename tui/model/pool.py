"""Values that blocks share, with the memory that they take."""

from __future__ import annotations

from collections.abc import Iterable
from sys import getsizeof
from typing import Any, Final

from tui.model.columns import Key

_DICT_SLOT: Final = 104
"""Bytes that an entry costs in a dict (CPython: 24 an entry, index and growth on top, at most)."""


class Entry:
    """A value, how many blocks hold it, and its slot: a small number, reused once the value is gone."""

    __slots__ = ("size", "slot", "uses", "value")

    def __init__(self, value: Key, size: int, slot: int) -> None:
        self.value: Any = value
        self.size = size
        self.uses = 0
        self.slot = slot


_ENTRY_BYTES: Final = _DICT_SLOT + 64 + 32
"""An Entry with its slot number, and its place in the pool."""


class Strings:
    """Single strings of argv and envp: ``HOME=/root`` is kept once however many environments have it."""

    def __init__(self) -> None:
        self.nbytes = 0
        self._entries: dict[str, list[Any]] = {}

    def take(self, text: str | None) -> str | None:
        """The one copy of this string, used once more."""
        if text is None:
            return None
        entry = self._entries.get(text)
        if entry is None:
            entry = self._entries[text] = [text, 0]
            self.nbytes += getsizeof(text) + getsizeof(entry) + _DICT_SLOT
        entry[1] += 1
        kept: str = entry[0]
        return kept

    def release(self, texts: Iterable[str | None]) -> None:
        """Take back one use of each."""
        for text in texts:
            if text is None:
                continue
            entry = self._entries[text]
            entry[1] -= 1
            if not entry[1]:
                del self._entries[text]
                self.nbytes -= getsizeof(text) + getsizeof(entry) + _DICT_SLOT


class Pool:
    """The distinct keys of one column over all blocks; a key goes with the last block that holds it.

    Each column has its own, so that ``False`` in one never stands for an equal ``0`` in another.

    Attributes:
        nbytes: Bytes of the keys, without those of ``strings``.
        slots: All entries' slots are below this.
        generation: Changes when a slot becomes free, so that verdicts kept by slot can be forgotten.
    """

    def __init__(self, strings: Strings | None = None) -> None:
        self.nbytes = 0
        self.slots = 0
        self.generation = 0
        self._free: list[int] = []
        self._strings = strings
        self._entries: dict[Key, Entry] = {}

    def take(self, key: Key) -> Entry:
        """The entry of this key, used once more."""
        entry = self._entries.get(key)
        if entry is None:
            if self._strings is not None and isinstance(key, tuple):
                key = tuple(map(self._strings.take, key))
                size = getsizeof(key)
            else:
                size = _size(key)
            entry = Entry(key, size + _ENTRY_BYTES, self._slot())
            self._entries[key] = entry
            self.nbytes += entry.size
        entry.uses += 1
        return entry

    def release(self, entries: Iterable[Entry]) -> None:
        """Take back one use of each."""
        for entry in entries:
            entry.uses -= 1
            if not entry.uses:
                self.generation += 1
                self._free.append(entry.slot)
                del self._entries[entry.value]
                self.nbytes -= entry.size
                if self._strings is not None:
                    self._strings.release(entry.value)

    def _slot(self) -> int:
        if self._free:
            return self._free.pop()
        self.slots += 1
        return self.slots - 1


def _size(key: Key) -> int:
    if isinstance(key, tuple):
        return getsizeof(key) + sum(map(_size, key))
    return 0 if key is None or isinstance(key, bool) else getsizeof(key)
