"""The columns of a block, and the pools that the blocks of a history share."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from execwhy.bpf.events.known import size_of
from execwhy.tui.model.history.columns import GROUPS, TEXTS, Key
from execwhy.tui.model.history.pool import Entry, Pool, Stored, digest_of
from execwhy.tui.model.history.texts import Texts

_ENTRY_BYTES: Final = 116
"""Bytes that a distinct value costs a growing column: a slot in a dict and in two lists."""

_SEALED_ENTRY_BYTES: Final = 12
"""Bytes that it costs a sealed column: the slots in the lists."""


class Pools:
    """The values that the blocks of a history share: a pool for each column, and the long values.

    Args:
        max_bytes: The bound of the history.
    """

    def __init__(self, max_bytes: int) -> None:
        # Each column has its own chunks, so that a filter on one column unpacks no others.
        self._texts = {name: Texts(max_bytes) for name in GROUPS}
        self.of = {name: Pool(self._texts[name], is_text=name in TEXTS) for name in GROUPS}

    @property
    def nbytes(self) -> int:
        """Bytes of all values."""
        of_texts = sum(texts.nbytes for texts in self._texts.values())
        return of_texts + sum(pool.nbytes for pool in self.of.values())

    @property
    def came(self) -> int:
        """The cost for a filter of looking at all long values that have ever come, in bytes."""
        return sum(texts.came for texts in self._texts.values())

    def tidy(self) -> None:
        """Give back memory, after blocks have been released."""
        for texts in self._texts.values():
            texts.tidy()


class Column(dict[Key, int]):
    """One dictionary-encoded column: a code for each event, an entry for each code.

    While it grows, it is itself the dictionary from key to code, so that the lookup of a known key runs only
    in C. A column of texts maps digests to codes, because it must not hold the texts.
    """

    __slots__ = ("_held_bytes", "_is_sealed", "_slots", "codes", "entries", "pool")

    def __init__(self, pool: Pool, capacity: int) -> None:
        super().__init__()
        self.pool = pool
        self.entries: list[Entry] = []
        self._slots = array("I")
        self._held_bytes = 0
        self._is_sealed = False
        self.codes: npt.NDArray[np.unsignedinteger] = np.zeros(capacity, np.uint32)

    @property
    def code_of(self) -> Callable[[Key], int]:
        """A function that returns the code of a key, and adds the key if the column does not have it."""
        return self._code_of_text if self.pool.is_text else self.__getitem__

    def _code_of_text(self, key: Any) -> int:  # noqa: ANN401
        digest = digest_of(key)
        code = self.get(digest)
        return self._add(self.pool.take_stored(digest, key)) if code is None else code

    def __missing__(self, key: Key) -> int:
        entry = self.pool.take(key)
        if not isinstance(entry, Stored):
            return self._add(entry)
        code = self.get(entry.digest)
        if code is None:
            code = self._add(entry)
        else:
            self.pool.release((entry,))
        # Until the column is sealed, the key is found in C as well.
        self[key] = code
        self._held_bytes += size_of(key)
        return code

    def adopt(self, entry: Entry) -> int:
        """Return the code of an entry of another block; add it if the column does not have it yet."""
        code = self.get(_key_of(entry))
        if code is None:
            entry.uses += 1
            code = self._add(entry)
        return code

    def _add(self, entry: Entry) -> int:
        code = len(self.entries)
        self.entries.append(entry)
        self._slots.append(entry.slot)
        if not self._is_sealed:
            self[_key_of(entry)] = code
        return code

    def put(self, offsets: int | Sequence[int] | npt.NDArray[np.int64], key: Key) -> None:
        """Replace the value of these events, even if the column is sealed."""
        code = self._sealed_code_of(key) if self._is_sealed else self.code_of(key)
        if code > np.iinfo(self.codes.dtype).max:
            self.codes = self.codes.astype(np.uint32)
        self.codes[offsets] = code

    def _sealed_code_of(self, key: Key) -> int:
        entry = self.pool.take(key)
        # An entry that nothing else uses is new.
        found: list[int] = np.flatnonzero(self.slots == entry.slot).tolist() if entry.uses > 1 else []
        if not found:
            return self._add(entry)
        self.pool.release((entry,))
        return found[0]

    @property
    def slots(self) -> npt.NDArray[np.uint32]:
        """The slot of each entry in the pool."""
        return np.array(self._slots, np.uint32)

    @property
    def sizes(self) -> npt.NDArray[np.uint64]:
        """About how many bytes each entry's value takes."""
        sizes: npt.NDArray[np.uint64] = np.frombuffer(self.pool.sizes, np.uint64)[self.slots]
        return sizes

    def seal(self, length: int) -> None:
        """Free what only a growing column needs."""
        self.clear()
        self._held_bytes = 0
        self._is_sealed = True
        self.codes = self.codes[:length].astype(np.min_scalar_type(max(len(self.entries) - 1, 0)))

    @property
    def nbytes(self) -> int:
        """Bytes in use, without the values, which the pool counts."""
        entry_bytes = _SEALED_ENTRY_BYTES if self._is_sealed else _ENTRY_BYTES
        return self.codes.nbytes + len(self.entries) * entry_bytes + self._held_bytes


def _key_of(entry: Entry) -> Key:
    """Return the key of an entry in a growing column."""
    key: Key = entry.digest if isinstance(entry, Stored) else entry.value
    return key
