"""The lines of snapshots and recordings: each can be read back, and a hostile line gives a sentence."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execwhy.bpf.events.arrivals import Event
from execwhy.bpf.events.loss import Loss
from execwhy.bpf.events.source import Counters, Origin
from execwhy.tui.model.files import json_lines
from execwhy.tui.model.files.json_lines import (
    Ending,
    Header,
    UnknownVersion,
    ending_line,
    event_line,
    header_line,
    parse_line,
)
from execwhy.tui.model.files.safe_file import SnapshotError
from tests.unit.records import failure, losses, records, texts, times

HEADER = Header(
    Origin("web-1", "6.1.0-30-amd64", 1_795_500_000_000_000_000, "tracepoint"),
    "uid:1000..1999",
    Counters(1204, 1000, 72, 132, {"ring buffer full": 132}, untold=9, untracked=3),
    1_795_557_012_031_000_000,
)

counts = st.integers(0, 1 << 40)
counters = st.builds(
    lambda recorded, suppressed, lost, untold, untracked, incomplete: Counters(
        recorded + suppressed + sum(lost.values()),
        recorded,
        suppressed,
        sum(lost.values()),
        lost,
        untold,
        untracked,
        incomplete,
    ),
    counts,
    counts,
    st.dictionaries(texts, counts, max_size=3),
    counts,
    counts,
    st.dictionaries(texts, counts, max_size=3),
)
headers = st.builds(
    Header,
    origin=st.builds(Origin, host=texts, kernel=texts, boot_time=times, plan=st.none() | texts),
    query=texts,
    counters=counters,
    written=times,
    recording=st.booleans(),
)


@given(headers)
def test_every_header_comes_back_as_it_was(header: Header) -> None:
    assert parse_line(header_line(header)) == header


@given(st.builds(Ending, times, counters))
def test_every_ending_comes_back_as_it_was(ending: Ending) -> None:
    assert parse_line(ending_line(ending)) == ending


@given(records | losses)
def test_every_event_comes_back_as_it_was(event: Event) -> None:
    line = event_line(event, show_secrets=True)
    assert line.isascii() and line.endswith("\n") and line.count("\n") == 1
    assert parse_line(line) == event
    assert parse_line(line.encode()) == event


def test_the_header_has_the_names_that_other_programs_rely_on() -> None:
    assert json.loads(header_line(HEADER)) == {
        "execwhy": 1,
        "host": "web-1",
        "kernel": "6.1.0-30-amd64",
        "boot_time": "2026-11-24T06:00:00.000000000Z",
        "plan": "tracepoint",
        "filter": "uid:1000..1999",
        "recording": False,
        "timestamp": "2026-11-24T21:50:12.031000000Z",
        "counters": {
            "seen": 1204,
            "recorded": 1000,
            "suppressed": 72,
            "lost": 132,
            "losses": {"ring buffer full": 132},
            "untold": 9,
            "untracked": 3,
            "incomplete": {},
        },
    }


def test_missing_counters_of_searches_are_read_as_zero() -> None:
    counters = {"seen": 1, "recorded": 1, "suppressed": 0, "lost": 0}
    header = parse_line(header_with(counters=counters))
    assert isinstance(header, Header) and header.counters == Counters(1, 1, untold=0, untracked=0)


def test_a_loss_has_its_count_time_and_reason() -> None:
    line = event_line(Loss(1_795_557_014_000_000_000, 132, "ring buffer full"), show_secrets=False)
    assert json.loads(line) == {
        "lost": 132,
        "timestamp": "2026-11-24T21:50:14.000000000Z",
        "reason": "ring buffer full",
    }


def header_with(**values: object) -> str:
    return json.dumps({**json.loads(header_line(HEADER)), **values})


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (b"", "it is not JSON"),
        (b"\xff\xfe\x00", "it is not JSON"),
        (b"{", "it is not JSON"),
        (b"[]", "it is not a JSON object"),
        (b"null", "it is not a JSON object"),
        (b'{"pid": NaN}', "NaN is not JSON"),
        (b'{"lost": Infinity}', "Infinity is not JSON"),
        (b'{"lost": ' + b"9" * 10_000 + b"}", "it is not JSON"),
        (b"[" * 1_000_000, "it is nested too deeply"),
        (b'{"a":' * 200_000, "it is nested too deeply"),
        (b'{"lost": 1}', '"timestamp" is not a time'),
        (b'{"lost": -1, "timestamp": "1970-01-01T00:00:00Z", "reason": ""}', '"lost" is not between'),
        (b'{"ended": 1}', '"ended" is not a time'),
        (b'{"execwhy": "1"}', '"execwhy" is not a whole number'),
        (header_with(host=None), '"host" is not a string'),
        (header_with(counters=[]), '"counters" is not an object'),
        (header_with(counters={"seen": 1}), '"recorded" is not a whole number'),
        (
            header_with(counters={"seen": 3, "recorded": 1, "suppressed": 0, "lost": 0}),
            '"counters" do not add up: seen is not recorded + suppressed + lost',
        ),
        (
            header_with(
                counters={"seen": 1, "recorded": 0, "suppressed": 0, "lost": 1, "losses": {"x": "1"}}
            ),
            '"losses" is not a whole number',
        ),
    ],
    ids=range(19),
)
def test_an_invalid_line_gives_a_sentence(line: bytes | str, sentence: str) -> None:
    with pytest.raises(SnapshotError) as caught:
        parse_line(line)
    assert str(caught.value).startswith(sentence)


@pytest.mark.parametrize("version", [0, 2, 99])
def test_another_version_has_an_exception_of_its_own(version: int) -> None:
    with pytest.raises(UnknownVersion, match=f"version {version}.*update execwhy"):
        parse_line(header_with(execwhy=version))


def test_a_line_that_is_too_long_is_refused_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_lines, "MAX_LINE_BYTES", 1 << 20)
    with pytest.raises(SnapshotError, match="longer than 1 MiB"):
        parse_line(b'"' + b"x" * (1 << 20))


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_no_line_raises_anything_but_a_sentence(line: bytes | str) -> None:
    with pytest.raises(SnapshotError):
        parse_line(line)


@given(st.data())
def test_no_damage_to_a_good_line_raises_anything_but_a_sentence(data: st.DataObject) -> None:
    line = bytearray(event_line(failure(), show_secrets=False).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        line[data.draw(st.integers(0, len(line) - 1))] = data.draw(st.integers(0, 255))
    try:
        parse_line(bytes(line))
    except SnapshotError as error:
        assert str(error)
