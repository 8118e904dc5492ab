"""A stranger finds the room for a change: each module is named where the rooms are described."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = re.split(r"^\*\*", (ROOT / "docs/architecture.md").read_text(encoding="utf-8"), flags=re.MULTILINE)


@pytest.mark.parametrize(
    ("files", "room"), [("*.c", "bpf/*.c"), ("*.py", "bpf/"), ("*.py", "tui/"), ("*.py", "tui/model/")]
)
def test_each_module_is_named_in_the_architecture_and_no_other(files: str, room: str) -> None:
    (described,) = (text for text in ROOMS if f"(`{room}`" in text.partition("\n")[0])
    directory = ROOT / room.removesuffix("*.c")
    modules = {path.name for path in directory.glob(files)} - {"__init__.py"}
    named = set(re.findall(r"`(\w+\.(?:py|c))`", described.partition("\n")[2]))
    assert named == modules
