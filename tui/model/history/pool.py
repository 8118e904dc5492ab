"""Values that blocks share, with the memory that they take."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import Any, Final

from execwhy.bpf.events.known import size_of
from execwhy.tui.model.history.columns import Key
from execwhy.tui.model.history.texts import Chunk, Texts, packed

_DICT_SLOT: Final = 104
"""Bytes that an entry costs in a dict (CPython: 24 an entry, index and growth on top, at most)."""

_LONG: Final = 1024
"""Bytes as an object from which a value is kept as bytes: few are so large, but take most of the memory."""


class Entry:
    """A value, how many blocks hold it, and its slot: a small number, reused once the value is gone."""

    __slots__ = ("slot", "uses")

    def __init__(self, slot: int) -> None:
        self.slot = slot
        self.uses = 1

    @property
    def value(self) -> Any:  # noqa: ANN401
        """The value."""
        raise NotImplementedError


class Held(Entry):
    """An entry whose value is kept as it is."""

    __slots__ = ("size", "value")

    def __init__(self, value: Key, size: int, slot: int) -> None:
        super().__init__(slot)
        self.value: Any = value
        self.size = size


class Stored(Entry):
    """An entry whose value is kept as bytes, and is made anew each time that it is asked for.

    Attributes:
        digest: What it is known by.
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
        """The value; ask for it once."""
        return self._texts.value(self)


_HELD_BYTES: Final = _DICT_SLOT + 64 + 32
"""An entry with its slot number, and its place in the pool."""

_STORED_BYTES: Final = _DICT_SLOT + 48
"""A digest, and its place in the pool; the entry is counted with its text."""


def digest_of(texts: tuple[str | None, ...]) -> int:
    """What a tuple of strings is known by without being at hand.

    It is made of 128 bits, from two ways over the strings, which are hashed under a key that Python draws
    at random when it starts (SipHash): a process that wants its arguments to be taken for others' cannot
    aim at it. Nothing is packed for it, since most tuples are known already.
    """
    second = texts[::-1] if len(texts) > 1 else packed(texts)
    return hash(texts) << 64 ^ hash(second)


class Pool:
    """The distinct keys of one column over all blocks; a key goes with the last block that holds it.

    Each column has its own, so that ``False`` in one never stands for an equal ``0`` in another.

    Args:
        texts: Where long values are kept.
        is_text: All values are kept there, and known by their digests.

    Attributes:
        nbytes: Bytes of the keys, without those of ``texts``.
        slots: All entries' slots are below this.
        sizes: By slot, about how many bytes its value takes, before it is compressed.
        generation: Changes when a slot becomes free, so that verdicts kept by slot can be forgotten.
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
        """The entry of this key, used once more."""
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
        """The same of a key that is kept as bytes, and known by a digest."""
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
        """Take back one use of each."""
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
