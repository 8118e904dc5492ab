"""The published schema describes exactly what the program writes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from execwhy.bpf.events.arrivals import Event
from execwhy.bpf.events.record import Ancestor, Binary, Diagnosis, ExecFailure, Search
from execwhy.bpf.events.source import Counters, Origin
from execwhy.tui.model.files.json_lines import (
    Ending,
    Header,
    ending_line,
    event_line,
    header_line,
    parse_line,
)
from execwhy.tui.model.files.record_json import record_to_json
from tests.schema import CLOSED, OPEN, SCHEMA, kind_of
from tests.unit.records import failure, losses, records

COUNTERS = Counters(seen=3, recorded=1, suppressed=1, lost=1, losses={"ring buffer full": 1})


def test_the_schema_is_valid() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


patiently = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
"""A validator is slow, and the machine may be busy."""


@patiently
@given(records | losses)
def test_every_record_and_loss_conforms_to_the_schema(event: Event) -> None:
    line = json.loads(event_line(event, show_secrets=True))
    assert kind_of(line) == ("record" if isinstance(event, ExecFailure) else "loss")


@pytest.mark.parametrize("plan", ["tracepoint", None])
def test_headers_and_endings_conform_to_the_schema(plan: str | None) -> None:
    header = Header(Origin("web-1", "6.1.0", 1, plan), "uid=0", COUNTERS, 2, recording=True)
    assert kind_of(json.loads(header_line(header))) == "header"
    assert kind_of(json.loads(header_line(replace(header, recording=False, evicted=7)))) == "header"
    assert kind_of(json.loads(ending_line(Ending(1, COUNTERS)))) == "ending"


def test_every_name_of_the_schema_is_written() -> None:
    whole = replace(
        failure(diagnosis=Diagnosis("missing-file", "It does not exist.")),
        binary=Binary("/bin/x", 0, "0:0", 1, 0, 0o100755, "resolved"),
        search=Search(1, "x", 1, "not-found"),
        ancestors=(Ancestor(1, "init"),),
        host="web-1",
    )
    line = record_to_json(whole, show_secrets=True)
    assert kind_of(line) == "record"
    assert set(line) == set(SCHEMA["$defs"]["record"]["properties"])
    for name in ("binary", "truncated", "diagnosis", "search"):
        part = line[name]
        assert isinstance(part, dict)
        assert set(part) == set(SCHEMA["$defs"][name]["properties"])


def spoiled() -> st.SearchStrategy[tuple[str, Any]]:
    """Return a field of a record, and a value of a type that it never has."""
    return st.sampled_from(sorted(SCHEMA["$defs"]["record"]["required"])).map(lambda name: (name, 1.5))


@patiently
@given(spoiled())
def test_the_schema_refuses_what_the_program_refuses_to_read(spoilt: tuple[str, Any]) -> None:
    line = record_to_json(failure(), show_secrets=True) | dict([spoilt])
    assert not OPEN.is_valid(line)


def test_later_versions_may_add_fields_but_this_one_writes_only_those_of_the_schema() -> None:
    line = record_to_json(failure(), show_secrets=True) | {"brand_new": 1}
    assert OPEN.is_valid(line)
    assert not CLOSED.is_valid(line)
    parse_line(json.dumps(line))
