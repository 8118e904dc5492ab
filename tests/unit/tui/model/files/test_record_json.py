"""A record survives the way through JSON, and a hostile object gives a sentence."""

from __future__ import annotations

import base64
import dataclasses
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execwhy.bpf.events.record import ExecFailure, error_name
from execwhy.tui.model.files.json_values import RecordError, rfc3339, timestamp
from execwhy.tui.model.files.record_json import record_from_json, record_to_json
from tests.unit.records import failure, records, times


def through_json(record: ExecFailure) -> ExecFailure:
    text = json.dumps(record_to_json(record, show_secrets=True), ensure_ascii=True)
    return record_from_json(json.loads(text))


def written(record: ExecFailure, field: str) -> list[Any]:
    elements = record_to_json(record, show_secrets=True)[field]
    assert isinstance(elements, list)
    return elements


def changed(**values: object) -> dict[str, Any]:
    return {**record_to_json(failure(), show_secrets=False), **values}


@given(records)
def test_every_record_comes_back_as_it_was(record: ExecFailure) -> None:
    assert through_json(record) == record


def test_every_byte_of_a_path_comes_back() -> None:
    path = (b"/" + bytes(range(1, 256))).decode("utf-8", "surrogateescape")
    assert through_json(failure(path=path)).path == path


@pytest.mark.parametrize("field", ["arguments", "environment"])
@pytest.mark.parametrize("byte", [b"\xff", b"\x01", b"\xc3", b"\x80"])
def test_bytes_that_are_not_text_take_less_than_two_characters_each(field: str, byte: bytes) -> None:
    junk = (byte * 8000).decode("utf-8", "surrogateescape")
    changes: dict[str, Any] = {field: ("A=1", junk, None)}
    record = failure(**changes)
    first, encoded, unread = written(record, field)
    assert (first, unread) == ("A=1", None)
    assert base64.b64decode(encoded["base64"]) == byte * 8000
    assert len(json.dumps(encoded)) < 2 * 8000
    assert through_json(record) == record


@given(st.binary(max_size=300))
def test_an_element_takes_three_characters_a_byte_or_few_in_all(data: bytes) -> None:
    record = failure(arguments=(data.decode("utf-8", "surrogateescape"),))
    (element,) = written(record, "arguments")
    assert len(json.dumps(element)) <= 3 * len(data) + 20
    assert through_json(record) == record


@pytest.mark.parametrize(
    "text", ["", "-rf", "naïve", "\udcff", "caf\udce9", "変更", "🚀", "PS1=\x1b[01;32m$", "a\nb\tc", "\x85"]
)
def test_an_element_that_is_mostly_text_stays_a_string(text: str) -> None:
    assert written(failure(arguments=(text,)), "arguments") == [text]


@pytest.mark.parametrize(
    "element",
    [{}, {"base64": None}, {"base64": 1}, {"base64": "a"}, {"base64": "ÿÿÿÿ"}, {"base64": "a-_="}, ["a"], 1],
)
def test_an_element_that_is_neither_a_string_nor_base64_gives_a_sentence(element: object) -> None:
    with pytest.raises(RecordError, match=r'^"environment" is not '):
        record_from_json(changed(environment=[element]))


def test_every_field_that_files_have_is_in_the_object() -> None:
    names = {field.name for field in dataclasses.fields(ExecFailure)} - {
        "task",
        "foreign_user_ns",
        "shared_directories",
    }
    assert set(record_to_json(replace(failure(), host="web-1"), show_secrets=False)) == names | {"error"}


def test_the_names_are_those_that_other_programs_rely_on() -> None:
    written = record_to_json(failure(arguments=("a", None)), show_secrets=False)
    assert written["timestamp"] == "2026-11-24T21:50:12.031000000Z"
    assert (written["return_value"], written["error"]) == (-2, "ENOENT")
    assert written["arguments"] == ["a", None]
    assert written["truncated"] == {
        "arguments": False,
        "environment": False,
        "path": False,
        "argc": 2,
        "envc": 2,
        "argument_indexes": [],
        "environment_indexes": [],
        "long_argument": None,
        "long_variable": None,
    }


@given(st.integers(-4095, -1))
def test_the_error_has_a_name_for_every_return_value(value: int) -> None:
    record = dataclasses.replace(failure(), return_value=value)
    assert record_to_json(record, show_secrets=False)["error"] == error_name(value)


def test_secrets_are_masked_unless_requested() -> None:
    record = failure(environment=("DB_PASSWORD=hunter2",))
    assert "hunter2" not in json.dumps(record_to_json(record, show_secrets=False))
    assert "hunter2" in json.dumps(record_to_json(record, show_secrets=True))


@given(times)
def test_a_time_comes_back_to_the_nanosecond(time: int) -> None:
    assert timestamp("timestamp", rfc3339(time)) == time


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:01.5Z", 1_500_000_000),
        ("1970-01-01T00:00:00.000000001Z", 1),
    ],
)
def test_a_time_may_have_fewer_decimals(text: str, nanoseconds: int) -> None:
    assert timestamp("timestamp", text) == nanoseconds


def test_names_that_a_later_version_adds_are_ignored() -> None:
    assert record_from_json(changed(colour="red")) == failure()


def test_names_with_a_default_may_be_missing() -> None:
    record = record_from_json({"timestamp": "1970-01-01T00:00:00Z", "path": "/x", "return_value": -2})
    assert record == ExecFailure(timestamp=0, path="/x", return_value=-2)


@pytest.mark.parametrize(
    ("obj", "sentence"),
    [
        ([], '"record" is not an object'),
        ({}, '"timestamp" is missing'),
        (changed(pid="1"), '"pid" is not a whole number'),
        (changed(pid=True), '"pid" is not a whole number'),
        (changed(pid=1.5), '"pid" is not a whole number'),
        (changed(pid=-1), '"pid" is not between 0 and 4294967295'),
        (changed(pid=1 << 80), '"pid" is not between 0 and 4294967295'),
        (changed(return_value=0), '"return_value" is not between -4095 and -1'),
        (changed(path=7), '"path" is not a string'),
        (changed(comm=None), '"comm" is not a string'),
        (changed(path="\ud800"), '"path" is not a string of Unicode characters and bytes'),
        (changed(compat=1), '"compat" is not true or false'),
        (changed(arguments="ls"), '"arguments" is not an array'),
        (changed(arguments=["ls", 1]), '"arguments" is not a string'),
        (changed(truncated=None), '"truncated" is not an object'),
        (changed(binary={"path": "/x"}), '"device_id" is missing'),
        (changed(arguments_source="hearsay"), '"arguments_source" is not one of kernel, user, unreadable'),
        (changed(arguments_source=["kernel"]), '"arguments_source" is not one of kernel, user, unreadable'),
        (changed(ancestors=[{"pid": 1}]), '"comm" is missing'),
        (changed(timestamp="yesterday"), '"timestamp" is not a time such as 2026-11-24T21:50:12.000000000Z'),
        (changed(timestamp="2026-02-30T00:00:00Z"), '"timestamp" is not a time that exists'),
        (changed(timestamp="0001-01-01T00:00:00Z"), '"timestamp" is not between 0 and 9223372036854775807'),
        (changed(timestamp="9999-12-31T23:59:59Z"), '"timestamp" is not between 0 and 9223372036854775807'),
        (changed(timestamp="2026-11-24T21:50:12.0000000001Z"), '"timestamp" is not a time such as'),
    ],
)
def test_a_wrong_value_is_named(obj: object, sentence: str) -> None:
    with pytest.raises(RecordError) as caught:
        record_from_json(obj)
    assert str(caught.value).startswith(sentence)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=[])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(sorted(changed())), json_values)
def test_any_value_under_any_name_gives_a_record_or_a_sentence(name: str, value: object) -> None:
    try:
        record = record_from_json(changed(**{name: value}))
    except RecordError:
        return
    through_json(record)
