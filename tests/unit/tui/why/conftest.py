"""Every test of a cause also checks what the cause declares."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.tui.why.watched import watching


@pytest.fixture(autouse=True)
def only_what_is_declared_is_read(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with watching(monkeypatch):
        yield
