"""Values that blocks share, and the memory that they take."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import Any, Final

from execwhy.bpf.events.known import size_of
from execwhy.tui.model.history.columns import Key
from execwhy.tui.model.history.texts import Chunk, Texts, packed

_DICT_SLOT: Final = 104
"""The most bytes that an entry costs in a dict (CPython: 24 for the entry, the rest for index and growth)."""

_LONG: Final = 1024
"""Size in bytes from which a value is packed: such values are few, but take most of the memory."""


class Entry:
    """A value, the number of blocks that hold it, and its slot: a small number, reused once it is gone."""

    __slots__ = ("slot", "uses")

    def __init__(self, slot: int) -> None:
        self.slot = slot
        self.uses = 1

    @property
    def value(self) -> Any:  # noqa: ANN401
        """The value."""
        raise NotImplementedError


class Held(Entry):
    """An entry whose value is kept as an object."""

    __slots__ = ("size", "value")

    def __init__(self, value: Key, size: int, slot: int) -> None:
        super().__init__(slot)
        self.value: Any = value
        self.size = size


class Stored(Entry):
    """An entry whose value is kept as bytes, and is unpacked on each access.

    Attributes:
        digest: The key of the value in the pool.
    """

    __slots__ = ("_texts", "at", "chunk", "digest", "length")

    def __init__(self, digest: int, data: bytes, slot: int, texts: Texts) -> None:
        super().__init__(slot)
        self.digest = digest
        self.chunk: Chunk | None = None
        self.at = self.length = 0
        self._texts = texts
        texts.put(data, self)

    @property
    def value(self) -> Any:  # noqa: ANN401
        """The value. Each access unpacks it, so read it only once."""
        return self._texts.value(self)


_HELD_BYTES: Final = _DICT_SLOT + 64 + 32
"""Bytes of an entry with its slot number, and of its place in the pool."""

_STORED_BYTES: Final = _DICT_SLOT + 48
"""Bytes of a digest, and of its place in the pool. The entry itself is counted with its text."""


def digest_of(texts: tuple[str | None, ...]) -> int:
    """Return a digest that identifies a tuple of strings.

    It has 128 bits, from two passes over the strings, which are hashed with a key that Python draws at random
    when it starts (SipHash), so a process cannot choose arguments that collide with those of another. Nothing
    is packed for it, because most tuples are known already.
    """
    second = texts[::-1] if len(texts) > 1 else packed(texts)
    return hash(texts) << 64 ^ hash(second)


class Pool:
    """The distinct keys of one column in all blocks. A key is freed with the last block that holds it.

    Each column has its own, so that ``False`` in one never stands for an equal ``0`` in another.

    Args:
        texts: Where long values are kept.
        is_text: Whether all values are kept there, and identified by their digests.

    Attributes:
        nbytes: Bytes of the keys, without those in ``texts``.
        slots: Upper bound of all slots, exclusive.
        sizes: The approximate size in bytes of each slot's value, before it is compressed.
        generation: Changes when a slot becomes free, so that results cached by slot can be discarded.
    """

    def __init__(self, texts: Texts, *, is_text: bool = False) -> None:
        self.is_text = is_text
        self.nbytes = 0
        self.slots = 0
        self.sizes = array("Q")
        self.generation = 0
        self._free: list[int] = []
        self._texts = texts
        self._held: dict[Key, Held] = {}
        self._stored: dict[int, Stored] = {}

    def take(self, key: Key) -> Entry:
        """Return the entry of a key, with one more use."""
        if self.is_text:
            assert isinstance(key, tuple)
            return self.take_stored(digest_of(key), key)
        entry = self._held.get(key)
        if entry is not None:
            entry.uses += 1
            return entry
        size = size_of(key)
        if size >= _LONG:
            return self.take_stored(hash(key) << 64 ^ hash(packed(key)), key)
        entry = self._held[key] = Held(key, size + _HELD_BYTES, self._slot(size + _HELD_BYTES))
        self.nbytes += entry.size
        return entry

    def take_stored(self, digest: int, key: Key) -> Stored:
        """Return the entry of a key that is kept as bytes under a digest, with one more use."""
        entry = self._stored.get(digest)
        if entry is not None:
            entry.uses += 1
            return entry
        data = packed(key)
        slot = self._slot(len(data) + _STORED_BYTES)
        entry = self._stored[digest] = Stored(digest, data, slot, self._texts)
        self.nbytes += _STORED_BYTES
        return entry

    def release(self, entries: Iterable[Entry]) -> None:
        """Remove one use of each entry."""
        for entry in entries:
            entry.uses -= 1
            if entry.uses:
                continue
            self.generation += 1
            self._free.append(entry.slot)
            if isinstance(entry, Stored):
                del self._stored[entry.digest]
                self.nbytes -= _STORED_BYTES
                self._texts.drop(entry)
            elif isinstance(entry, Held):
                del self._held[entry.value]
                self.nbytes -= entry.size

    def _slot(self, size: int) -> int:
        if self._free:
            slot = self._free.pop()
            self.sizes[slot] = size
            return slot
        self.sizes.append(size)
        self.slots += 1
        return self.slots - 1
