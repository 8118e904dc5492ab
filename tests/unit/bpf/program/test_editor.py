"""Each part of the BPF program parses by itself, with the header that ``make editor`` writes for it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from execwhy.bpf.program import text
from tools import editor


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    written = editor.write(str(tmp_path_factory.mktemp("editor")))
    return {str(command["file"]): list(command["arguments"]) for command in written}


@pytest.mark.parametrize("part", text.part_names())
def test_a_part_parses_by_itself(part: str, commands: dict[str, list[str]]) -> None:
    compiler = shutil.which("cc")
    assert compiler, "install a C compiler: this test parses with it"
    _, *arguments = commands[str(Path(text.DIRECTORY, part))]
    subprocess.run([compiler, *arguments, "-Wno-unknown-pragmas", "-Werror", "-fsyntax-only"], check=True)


def test_every_part_is_in_the_program() -> None:
    inside = {path.name for path in Path(text.DIRECTORY).glob("*.c")}
    assert inside == {name for name in text.PARTS if "/" not in name}


def test_a_part_needs_the_ones_before_it(commands: dict[str, list[str]]) -> None:
    # Otherwise the test above could not fail.
    compiler = shutil.which("cc")
    assert compiler
    part = str(Path(text.DIRECTORY, "write.c"))
    made = subprocess.run([compiler, "-xc", "-fsyntax-only", part], capture_output=True, check=False)
    assert made.returncode != 0
