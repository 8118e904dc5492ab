"""The files installed with the program match it."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Final

from execwhy.tui.cli.arguments import parse
from tests.schema import SCHEMA

ROOT: Final = Path(__file__).parents[2]
DEFINITIONS: Final = SCHEMA["$defs"]


def test_the_lnav_format_shows_only_existing_fields() -> None:
    declared = json.loads((ROOT / "packaging/execwhy.lnav.json").read_text(encoding="utf-8"))["execwhy"]
    shown = {part["field"] for part in declared["line-format"] if isinstance(part, dict)} | set(
        declared["value"]
    )
    known = set(DEFINITIONS["record"]["properties"]) | set(DEFINITIONS["loss"]["properties"])
    known |= set(DEFINITIONS["header"]["properties"]) | set(DEFINITIONS["ending"]["properties"])
    known |= {f"diagnosis/{name}" for name in DEFINITIONS["diagnosis"]["properties"]}
    assert shown <= known


def test_the_unit_uses_only_existing_options() -> None:
    unit = (ROOT / "packaging/execwhy.service").read_text(encoding="utf-8")
    command = re.search(r"^ExecStart=/usr/bin/execwhy (.*) \$EXECWHY_OPTIONS$", unit, re.MULTILINE)
    more = re.search(r'^# +Environment="EXECWHY_OPTIONS=(.*)"$', unit, re.MULTILINE)
    assert command is not None
    assert more is not None
    options = parse([*command[1].split(), *more[1].split()])
    assert options.record == "%L/execwhy/execwhy.jsonl"
    assert options.duration == 86400
    assert options.max_bytes * options.keep <= 512 << 20
    assert options.metrics == "/var/lib/prometheus/node-exporter/execwhy.prom"


def test_every_c_file_and_style_sheet_is_in_the_wheel() -> None:
    data = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    for package, patterns in data["package-data"].items():
        packed = {
            path
            for pattern in patterns
            for path in (ROOT / package.removeprefix("execwhy.").replace(".", "/")).glob(pattern)
        }
        other = {
            path
            for path in (ROOT / package.removeprefix("execwhy.").replace(".", "/")).iterdir()
            if path.is_file() and path.suffix not in (".py", "")
        }
        assert other <= packed
    for files in data["data-files"].values():
        assert all((ROOT / file).is_file() for file in files)
