"""Search for bytes that break a target, guided by line coverage: python -m tests.fuzz TARGET SECONDS.

Findings are left in fuzz-findings/; ``python -m tests.fuzz TARGET FILE`` repeats one.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["execwhy.bpf", "execwhy.tui.model"]):
    from tests.fuzz.targets import TARGETS

_FINDINGS = Path("fuzz-findings")
_LONGEST = 4096
"""Bytes: longer inputs are covered by hand-written tests (tests/unit/test_fuzz.py)."""


def main() -> None:
    """Run one target for this many seconds, or with one file."""
    name, what = sys.argv[1:]
    target, seeds = TARGETS[name]
    if Path(what).is_file():
        target(Path(what).read_bytes())
        return
    _FINDINGS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(seeds):
            Path(corpus, str(number)).write_bytes(seed)
        options = [f"-max_total_time={what}", f"-max_len={_LONGEST}", f"-artifact_prefix={_FINDINGS}/{name}-",
                   "-print_final_stats=1", "-verbosity=0"]  # fmt: skip
        atheris.Setup([sys.argv[0], *options, corpus], target)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
