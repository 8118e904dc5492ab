"""A user who holds the lock of a directory does not prevent the diagnoses of others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.waiting import PATIENCE

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="it takes root to make a mount namespace")


@pytest.fixture
def place() -> Iterator[Path]:
    """Yield a directory that other users can reach too."""
    with tempfile.TemporaryDirectory(prefix="held-") as name:
        yield Path(name)


def after(place: Path, kind: str) -> dict[str, Any]:
    """Let the user attack, and return the result."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.live.held_directory", str(place), kind],
        stdout=subprocess.PIPE,
        text=True,
        timeout=4 * PATIENCE,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_looker_that_waits_for_a_directory_can_be_killed(place: Path) -> None:
    found = after(place, "kept")
    assert found["undead"] == 0 and not found["problem"]
    assert all("did not end in time" in cause for cause in found["hostile"]), "the attack is no attack"
    assert found["other"].startswith("missing")


def test_a_user_whose_lookers_cannot_be_killed_blocks_only_one_looker(place: Path) -> None:
    found = after(place, "race")
    assert found["undead"] == 1 and not found["problem"]
    causes = found["hostile"]
    assert sum("did not end in time" in cause for cause in causes) == 1
    assert (
        sum("nothing of this user is looked at for some minutes" in cause for cause in causes)
        == len(causes) - 1
    )
    assert found["other"].startswith("missing")
