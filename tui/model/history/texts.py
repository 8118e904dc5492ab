"""Long values, kept as bytes in a few large pieces of memory.

A million environments are tens of millions of strings. As separate objects they take ten times the memory of
their text, and when they are freed they leave holes that Python's allocator keeps. Here they are stored one
after another in compressed chunks, and the memory of a chunk goes back to the kernel as a whole.
"""

from __future__ import annotations

import marshal
import mmap
import zlib
from typing import Any, Final, Protocol

_LARGEST_CHUNK: Final = 128 * 1024
"""Bytes of values compressed together: larger chunks compress no better, and each access unpacks one."""

_SMALLEST_CHUNK: Final = 4 * 1024

_CHUNKS: Final = 64
"""A chunk is at most this part of the bound, so that little is uncompressed."""

_OWN_MAPPING: Final = 16 * 1024
"""Bytes from which a chunk has a mapping of its own: malloc would keep freed memory for other uses."""

_LEVEL: Final = 1
"""For zlib: 100 MB/s and a sixth of the size for differing environments; higher levels halve the speed."""

_UNPACKED: Final = 2
"""Chunks that stay unpacked: the rows on the screen are in one or two."""

_SPARSE: Final = 4
"""A chunk is rewritten when less than a quarter of its bytes is used."""

_MOST_REWRITTEN: Final = 16
"""Chunks that are rewritten at a time, a millisecond or two for each."""

_VALUE_BYTES: Final = 168
"""Bytes that a value costs besides its text: its ``Place`` object, and a slot in the list of the chunk."""

_LOOK: Final = 300
"""Cost for a filter of looking at a value, in bytes of text that would take as long."""

_MARSHAL_VERSION: Final = 2
"""The last version whose bytes depend only on the value, not on which of its parts are the same object."""


def packed(value: Any) -> bytes:  # noqa: ANN401
    """Return the bytes of a value that consists of strings, numbers, booleans, None and tuples of these."""
    return marshal.dumps(value, _MARSHAL_VERSION)


class Place(Protocol):
    """The place of the bytes of a value.

    Attributes:
        chunk: The chunk that holds them; None once they have been dropped.
        at: Their offset in the chunk, before compression.
        length: Their number.
    """

    chunk: Chunk | None
    at: int
    length: int


class Chunk:
    """Values stored one after another.

    Attributes:
        memory: The compressed bytes; None while the chunk grows.
        raw_length: The number of bytes before compression.
        used: How many of these belong to values that are still needed.
        places: The place of each value.
    """

    __slots__ = ("memory", "places", "raw_length", "used")

    def __init__(self) -> None:
        self.memory: mmap.mmap | bytes | None = None
        self.raw_length = 0
        self.used = 0
        self.places: list[Place] = []

    @property
    def nbytes(self) -> int:
        """Bytes in use; while the chunk grows, the used part of the buffer."""
        memory = self.raw_length if self.memory is None else len(self.memory)
        rest = -memory % mmap.PAGESIZE if isinstance(self.memory, mmap.mmap) else 0
        return memory + rest + _VALUE_BYTES * len(self.places)


class Texts:
    """The long values of a history.

    Args:
        max_bytes: The bound of the history, which limits the size of chunks.

    Attributes:
        nbytes: Bytes in use.
        came: Bytes of all values that have ever been put in, plus ``_LOOK`` for each value.
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
        """Store these bytes, and record where in ``place``."""
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
        """Return the value whose bytes are at a place."""
        chunk = place.chunk
        assert chunk is not None
        data = self._buffer if chunk.memory is None else self._unpack(chunk)
        return marshal.loads(data[place.at : place.at + place.length])

    def drop(self, place: Place) -> None:
        """Drop these bytes. Their memory is freed once enough of the chunk has been dropped."""
        chunk = place.chunk
        assert chunk is not None
        place.chunk = None
        chunk.used -= place.length
        if not chunk.used:
            self._free(chunk)
        else:
            self._note_sparse(chunk)

    def tidy(self) -> None:
        """Rewrite chunks that are mostly unused, after values have been dropped, and free their memory."""
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
