"""Long values as bytes in a few large pieces of memory.

A million environments are tens of millions of strings. As objects of their own, among all that comes and goes
meanwhile, they take ten times their text, and what they leave behind when they go is holes, which Python's
allocator keeps. Here they lie one behind the other in chunks, compressed, and a chunk's memory goes back to
the kernel as a whole.
"""

from __future__ import annotations

import marshal
import mmap
import zlib
from typing import Any, Final, Protocol

_LARGEST_CHUNK: Final = 128 * 1024
"""Bytes of values that are compressed together: larger ones compress no better, and each look unpacks all."""

_SMALLEST_CHUNK: Final = 4 * 1024

_CHUNKS: Final = 64
"""A chunk is at most this part of the bound, so that what is not compressed yet is little."""

_OWN_MAPPING: Final = 16 * 1024
"""Bytes from which a chunk's memory is a mapping: malloc would keep it for others when it is freed."""

_LEVEL: Final = 1
"""Of zlib: 100 MB/s of unlike variables, of which a sixth is left; higher levels halve the speed."""

_UNPACKED: Final = 2
"""Chunks that stay unpacked, beside each other: rows that are seen at once lie in one or two."""

_SPARSE: Final = 4
"""A chunk is rewritten when less than one in so many of its bytes is used."""

_MOST_REWRITTEN: Final = 16
"""Chunks that are rewritten at once, each within a millisecond or two."""

_VALUE_BYTES: Final = 168
"""Bytes that a value costs beside its text: the object that is its Place, and a slot in the chunk's list."""

_LOOK: Final = 300
"""What it takes a filter to look at a value, as bytes: as long as a text of so many takes in addition."""

_MARSHAL_VERSION: Final = 2
"""The last one whose bytes depend on the value alone, and not on which of its parts are one object."""


def packed(value: Any) -> bytes:  # noqa: ANN401
    """The bytes of a value that is made of strings, numbers, booleans, None and tuples of these."""
    return marshal.dumps(value, _MARSHAL_VERSION)


class Place(Protocol):
    """Where the bytes of a value are.

    Attributes:
        chunk: Among which ones; None where they have been dropped.
        at: Where they begin there.
        length: How many they are.
    """

    chunk: Chunk | None
    at: int
    length: int


class Chunk:
    """Values one behind the other.

    Attributes:
        memory: Their bytes, compressed; None while it grows.
        raw_length: How many bytes they have before they are compressed.
        used: How many of these are of values that are still needed.
        places: Of each value, where it is.
    """

    __slots__ = ("memory", "places", "raw_length", "used")

    def __init__(self) -> None:
        self.memory: mmap.mmap | bytes | None = None
        self.raw_length = 0
        self.used = 0
        self.places: list[Place] = []

    @property
    def nbytes(self) -> int:
        """Bytes that it takes; while it grows, of the buffer what it uses."""
        memory = self.raw_length if self.memory is None else len(self.memory)
        rest = -memory % mmap.PAGESIZE if isinstance(self.memory, mmap.mmap) else 0
        return memory + rest + _VALUE_BYTES * len(self.places)


class Texts:
    """The long values of a history.

    Args:
        max_bytes: The bound of the history: chunks are a small part of it.

    Attributes:
        nbytes: Bytes in use.
        came: How many bytes of values have ever been put in, with ``_LOOK`` for each value.
    """

    def __init__(self, max_bytes: int) -> None:
        self._chunk_bytes = max(_SMALLEST_CHUNK, min(_LARGEST_CHUNK, max_bytes // _CHUNKS))
        self._buffer = bytearray()
        self._growing = Chunk()
        self._unpacked: dict[Chunk, bytes] = {}
        self._sparse: dict[Chunk, None] = {}
        self._last: tuple[Chunk | None, bytes] = (None, b"")
        self.nbytes = 0
        self.came = 0

    def put(self, data: bytes, place: Place) -> None:
        """Keep these bytes, and note where."""
        length = len(data)
        if self._growing.raw_length + length > self._chunk_bytes:
            self._seal(memoryview(self._buffer)[: self._growing.raw_length])
        chunk = self._growing
        place.chunk, place.at, place.length = chunk, chunk.raw_length, length
        chunk.places.append(place)
        chunk.raw_length += length
        chunk.used += length
        self.nbytes += _VALUE_BYTES + length
        self.came += length + _LOOK
        if length > self._chunk_bytes:
            self._seal(data)
            return
        if not self._buffer:
            self._buffer = bytearray(self._chunk_bytes)
        self._buffer[place.at : place.at + length] = data

    def value(self, place: Place) -> Any:  # noqa: ANN401
        """The value whose bytes are there."""
        chunk = place.chunk
        assert chunk is not None
        data = self._buffer if chunk.memory is None else self._unpack(chunk)
        return marshal.loads(data[place.at : place.at + place.length])

    def drop(self, place: Place) -> None:
        """Forget these bytes; their memory is free when enough of those beside them are forgotten, too."""
        chunk = place.chunk
        assert chunk is not None
        place.chunk = None
        chunk.used -= place.length
        if not chunk.used:
            self._free(chunk)
        else:
            self._note_sparse(chunk)

    def tidy(self) -> None:
        """Give back the memory of chunks that are hardly used any more, after values have been dropped."""
        for _ in range(min(len(self._sparse), _MOST_REWRITTEN)):
            chunk, _none = self._sparse.popitem()
            raw = self._unpack(chunk)
            for place in chunk.places:
                if place.chunk is chunk:
                    self.put(raw[place.at : place.at + place.length], place)
            self._free(chunk)

    def _seal(self, raw: bytes | memoryview) -> None:
        chunk = self._growing
        self._growing = Chunk()
        if not chunk.used:
            return
        self.nbytes -= chunk.nbytes
        chunk.memory = _kept(zlib.compress(raw, _LEVEL))
        self.nbytes += chunk.nbytes
        self._note_sparse(chunk)

    def _note_sparse(self, chunk: Chunk) -> None:
        if chunk.memory is not None and chunk.used * _SPARSE < chunk.raw_length:
            self._sparse[chunk] = None

    def _unpack(self, chunk: Chunk) -> bytes:
        if self._last[0] is chunk:
            return self._last[1]
        raw = self._unpacked.pop(chunk, None)
        if raw is None:
            assert chunk.memory is not None
            raw = zlib.decompress(chunk.memory, bufsize=chunk.raw_length)
            if len(self._unpacked) >= _UNPACKED:
                del self._unpacked[next(iter(self._unpacked))]
        self._unpacked[chunk] = raw
        self._last = chunk, raw
        return raw

    def _free(self, chunk: Chunk) -> None:
        self.nbytes -= chunk.nbytes
        self._unpacked.pop(chunk, None)
        if self._last[0] is chunk:
            self._last = (None, b"")
        self._sparse.pop(chunk, None)
        if chunk is self._growing:
            self._growing = Chunk()
        chunk.places.clear()
        if isinstance(chunk.memory, mmap.mmap):
            chunk.memory.close()


def _kept(data: bytes) -> mmap.mmap | bytes:
    if len(data) < _OWN_MAPPING:
        return data
    memory = mmap.mmap(-1, len(data), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory[:] = data
    return memory
