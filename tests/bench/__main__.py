"""``make bench``: every budget with its figure, in one run; ``make bench-check``: two runs.

python -m tests.bench [--json FILE] [PART ...]
python -m tests.bench --compare FILE FILE
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Final

from execwhy.bpf.load.support import choose
from tests.bench import history, probe_cost, program, screen
from tests.bench.figures import Figure

LOOP: Final = Path(__file__).parents[1] / "programs" / "loop.c"
PARTS: Final[dict[str, Callable[[Path], Iterator[Figure]]]] = {
    "probe": probe_cost.measure,
    "program": program.measure,
    "screen": lambda _: screen.measure(),
    "history": lambda _: history.measure(),
    "endurance": program.endure,
}
ASKED_FOR: Final = frozenset({"endurance"})
"""Parts that run only if they are named, not in ``make bench``: they take ten more minutes."""
WORSE: Final = 1.25
"""Growth from which a figure counts as worse: anything less is this machine's noise."""
NOISE: Final = {"ns": 50.0, "ms": 1.0, "MB": 1.0, "%": 0.5}
"""Least growth by unit: the ratio of two tiny figures means nothing."""


def run(parts: list[str], target: str | None) -> int:
    """Measure, print each figure as it comes, and write them down."""
    found: dict[str, dict[str, object]] = {}
    machine = {
        "kernel": platform.release(),
        "python": platform.python_version(),
        "plan": choose(None).name,
        "processors": os.cpu_count(),
    }
    with tempfile.TemporaryDirectory() as place:
        loop = Path(place, "loop")
        subprocess.run(["cc", "-O2", "-o", loop, LOOP], check=True)
        print(", ".join(f"{name} {value}" for name, value in machine.items()))
        for part in parts:
            print(f"\n{part}")
            group = ""
            for figure in PARTS[part](loop):
                print(figure.line, flush=True)
                group = figure.name if not figure.name.startswith(" ") else group
                name = (
                    figure.name
                    if not figure.name.startswith(" ")
                    else f"{group.partition(':')[0]}:{figure.name}"
                )
                found[name] = asdict(figure) | {"holds": figure.holds}
    if target:
        written = json.dumps({"machine": machine, "figures": found}, indent=1)
        Path(target).write_text(written + "\n", encoding="utf-8")
    missed = [name for name, figure in found.items() if figure["holds"] is False]
    for name in missed:
        print(f"over its budget: {name}")
    return 1 if missed else 0


def compare(before: str, after: str) -> int:
    """Print what changed between two runs; 1 where something has become worse."""
    earlier, later = (json.loads(Path(path).read_text(encoding="utf-8")) for path in (before, after))
    for name, value in later["machine"].items():
        if earlier["machine"].get(name) != value:
            print(f"{name}: {earlier['machine'].get(name)} before, {value} now")
    old, new = earlier["figures"], later["figures"]
    worse = 0
    for name, figure in new.items():
        if name not in old:
            print(f"{name}: not measured before")
            continue
        was, is_now = old[name]["value"], figure["value"]
        bad = _is_worse(was, is_now, figure["unit"])
        worse += bad
        ratio = f" x{is_now / was:.2f}" if was > 0 else ""
        verdict = " WORSE" if bad else ""
        print(f"{name:<70}{was:>14,.2f}{is_now:>14,.2f} {figure['unit']:<3}{ratio}{verdict}")
    for name in old.keys() - new.keys():
        print(f"{name}: not measured any more, WORSE")
        worse += 1
    return 1 if worse else 0


def _is_worse(was: float, is_now: float, unit: str) -> bool:
    """Return whether a figure has become worse by more than noise."""
    if unit == "/s":
        return is_now < was / WORSE
    return is_now > max(was * WORSE, was + NOISE.get(unit, 0.0))


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all but {', '.join(ASKED_FOR)} else"
    )
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--compare", nargs=2, metavar="FILE")
    options = parser.parse_args()
    if options.compare:
        return compare(*options.compare)
    unknown = set(options.parts) - PARTS.keys()
    if unknown:
        parser.error(f"there is no part {sorted(unknown)[0]}")
    return run(options.parts or [part for part in PARTS if part not in ASKED_FOR], options.json)


if __name__ == "__main__":
    sys.exit(main())
