"""A source for one look."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from execwhy.bpf.read.reader import KernelSource
from tests.live.listener import Listener


@contextmanager
def live(**settings: Any) -> Iterator[Listener]:
    """Yield the listener of a source that is live."""
    source = KernelSource(**settings)
    listener = Listener(source)
    try:
        listener.start()
        yield listener
    finally:
        source.close()
