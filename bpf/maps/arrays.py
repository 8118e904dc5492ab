"""Read and write a BPF array, through shared memory if the kernel allows it (5.5), otherwise by calls."""

from __future__ import annotations

import mmap
import os
import struct
from typing import Final

from execwhy.bpf.maps.syscalls import lookup_map, update_map

_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


class Array:
    """An array map. Through shared memory, reading takes neither a call nor a privilege."""

    def __init__(self, fd: int, entries: int, size: int) -> None:
        """Map it, if the kernel allows that.

        Args:
            fd: The map's descriptor, which the caller closes.
            entries: The number of elements.
            size: Bytes of an element: a multiple of 8.

        Raises:
            OSError: It can be neither mapped nor read.
        """
        self._fd, self._size = fd, size
        self._memory: mmap.mmap | None = None
        length = (entries * size + _PAGE - 1) // _PAGE * _PAGE
        try:
            self._memory = mmap.mmap(fd, length, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        except OSError:
            self.read(0)

    def read(self, index: int) -> bytes:
        """Return an element; raise OSError if a call is needed and refused."""
        if self._memory is None:
            return lookup_map(self._fd, struct.pack("<I", index), self._size)
        return self._memory[index * self._size : (index + 1) * self._size]

    def write(self, index: int, value: bytes) -> None:
        """Set an element; one of 8 bytes is set at once. Raise OSError as ``read`` does."""
        if self._memory is None:
            update_map(self._fd, struct.pack("<I", index), value)
        elif len(value) == 8:
            with memoryview(self._memory) as view, view.cast("Q") as words:
                words[index] = int.from_bytes(value, "little")
        else:
            self._memory[index * self._size : (index + 1) * self._size] = value

    def close(self) -> None:
        """Unmap; may be called twice."""
        if self._memory is not None:
            self._memory.close()
