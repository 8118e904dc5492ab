"""The screen tests see local times in UTC and the program's own colours, wherever they run."""

from __future__ import annotations

import time

import pytest

from execwhy.tui.widgets.bars import key_bar


@pytest.fixture(autouse=True)
def _same_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("COLORFGBG", raising=False)
    monkeypatch.delenv("EXECWHY_THEME", raising=False)
    monkeypatch.delenv("TMUX", raising=False)
    # On a slow machine a message would be gone before a test looks at it.
    monkeypatch.setattr(key_bar, "_SECONDS", 600.0)
