"""What the guests have told, and the table of it."""

from __future__ import annotations

from typing import Any, Final

import pytest

Results = dict[str, dict[str, Any]]
"""What the guests have told, by boot."""

RESULTS: Final = pytest.StashKey[Results]()


def table(results: Results) -> str:
    """Kernel by plan: how many kinds are right, of how many; or why the plan does not work there."""
    lines = [f"{'kernel':<46} {'plan':<11} {'right':>9}  attached in"]
    for boot, result in results.items():
        for plan, told in result["plans"].items():
            name = f"{boot} ({result['release']}, {result['paging_levels']} levels)"
            verdicts = told["verdicts"]
            right = sum(not verdict["problem"] for verdict in verdicts)
            count = f"{right}/{len(verdicts)}" if verdicts else "-"
            loaded = f"{told['loaded']} s" if verdicts else "; ".join(told["obstacles"])
            lines.append(f"{name:<46} {plan:<11} {count:>9}  {loaded}")
    return "\n".join(lines)
