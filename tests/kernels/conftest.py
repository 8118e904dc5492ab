"""Print one table at the end of the kernel tests."""

from __future__ import annotations

import pytest

from tests.kernels.results import RESULTS, table


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say how much is right."""
    if results := config.stash.get(RESULTS, {}):
        terminalreporter.section("kernel x plan: what is right")
        terminalreporter.write_line(table(results))
