"""The table of fields, and what is generated from it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from execwhy.bpf.events.fields import Kind, RecordField, Secret, fields_of
from execwhy.bpf.events.record import Ancestor, Attempt, ExecFailure
from execwhy.tui.model.query.fields import FIELDS
from execwhy.tui.model.text.secrets import masked
from tests.unit.test_pinned_output import FULL, SECRET
from tools import fields as tool

KINDS: Final = (*tool.PARTS.values(), Attempt)


def table() -> Iterator[tuple[str, RecordField]]:
    """Yield every field, with its class's name."""
    for kind in KINDS:
        for name, field in fields_of(kind).items():
            yield f"{kind.__name__}.{name}", field


TABLE: Final = dict(table())


@pytest.mark.parametrize("path", tool.FILES)
def test_the_schema_and_the_manual_are_generated_from_the_table(path: str) -> None:
    text = Path(path).read_text(encoding="utf-8")
    assert tool.FILES[path](text) == text, "run `make fields`"


@pytest.mark.parametrize("path", tool.FILES)
def test_a_description_that_was_edited_by_hand_is_generated_again(path: str) -> None:
    text = Path(path).read_text(encoding="utf-8")
    changed = text.replace("Real user id.", "Some id.", 1)
    assert changed != text
    assert tool.FILES[path](changed) == text


def test_a_field_that_the_schema_lacks_gets_its_type_from_the_annotation() -> None:
    text = Path(tool.SCHEMA).read_text(encoding="utf-8")
    lacking = json.loads(text)
    for part, name in (
        ("record", "dirfd"),
        ("record", "groups"),
        ("diagnosis", "certain"),
        ("search", "outcome"),
    ):
        del lacking["$defs"][part]["properties"][name]
    assert tool.schema(json.dumps(lacking)) == text


@pytest.mark.parametrize("name", TABLE)
def test_a_field_is_described_in_sentences(name: str) -> None:
    help_text = TABLE[name].fact.help
    assert help_text.endswith(".")
    assert " None" not in help_text, "files have null"


def test_no_two_columns_of_a_csv_file_have_the_same_position() -> None:
    positions = [field.fact.csv for field in TABLE.values() if field.fact.csv >= 0]
    lost, lost_reason = 42, 43
    assert sorted([*positions, lost, lost_reason]) == list(range(len(positions) + 2))


def test_every_short_name_is_one_of_the_filter_language() -> None:
    short = {other: field for field in TABLE.values() for other in field.fact.short}
    assert short
    for other, field in short.items():
        assert FIELDS[other].help == field.fact.help


def test_no_secret_is_left_in_a_field_that_may_hold_one() -> None:
    shown = masked(FULL)
    for kind, holder in ((ExecFailure, shown), *((type(part), part) for part in parts(shown))):
        for name, field in fields_of(kind).items():
            if field.fact.secret is not Secret.NEVER:
                assert SECRET not in repr(getattr(holder, name)), name
                assert "•" in repr(getattr(holder, name)) or kind is Ancestor, name


def parts(record: ExecFailure) -> Iterator[Any]:
    """Yield the parts of a record, and those of its parts."""
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        for part in value if isinstance(value, tuple) else (value,):
            if dataclasses.is_dataclass(part):
                yield part


def test_a_text_that_a_process_chose_may_hold_a_secret_unless_it_is_named_here() -> None:
    harmless = {
        "path_source", "arguments_source", "syscall", "container_runtime", "killed_by", "host", "error",
        "source", "device", "code", "outcome", "kind",
    }  # fmt: skip
    texts = {
        field.name
        for field in TABLE.values()
        if field.fact.secret is Secret.NEVER and (field.type is str or field.fact.kind is Kind.TEXT)
    }
    assert texts == harmless
