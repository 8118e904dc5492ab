"""The results of the guests, and their table."""

from __future__ import annotations

from typing import Any, Final

import pytest

Results = dict[str, dict[str, Any]]
"""Results of the guests by boot."""

RESULTS: Final = pytest.StashKey[Results]()


def table(results: Results) -> str:
    """Kernel by plan: of how many kinds of failure, and of how many facts, all are right; or why none is."""
    lines = [f"{'kernel':<46} {'plan':<11} {'kinds right':>11} {'facts right':>12}  attached in"]
    for boot, result in results.items():
        if "failed" in result:
            lines.append(f"{boot:<46} did not come to its end")
            continue
        name = f"{boot} ({result['release']})"
        for plan, outcome in result["plans"].items():
            verdicts = outcome["verdicts"]
            if verdicts:
                lines.append(f"{name:<46} {plan:<11} {_counts(verdicts)}  {outcome['loaded']} s")
            else:
                lines.append(f"{name:<46} {plan:<11} {'; '.join(outcome['obstacles'])}")
        if verdicts := result["once"]:
            lines.append(
                f"{name:<46} {'(once)':<11} {_counts(verdicts)}  {result['seconds']} s for all of it"
            )
    return "\n".join(lines)


def _counts(verdicts: list[dict[str, Any]]) -> str:
    kinds = f"{sum(not verdict['problem'] for verdict in verdicts)}/{len(verdicts)}"
    right, looked_at = (sum(verdict[count] for verdict in verdicts) for count in ("right", "facts"))
    return f"{kinds:>11} {f'{right}/{looked_at}':>12}"
