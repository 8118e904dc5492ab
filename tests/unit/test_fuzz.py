"""Untrusted bytes are either refused as documented or understood."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from execwhy.bpf.events.source import Stage
from execwhy.bpf.program import layout
from execwhy.tui.model.files.json_lines import event_line
from execwhy.tui.model.files.replay.file_source import FileSource
from tests.fuzz.targets import TARGETS, decode_record, parse_filter, read_line
from tests.hostile import texts
from tests.unit.records import losses, records

many = settings(max_examples=300, deadline=None)


@st.composite
def mutated(draw: st.DrawFn, seeds: tuple[bytes, ...]) -> bytes:
    """Return one of the seeds, or two, with some bytes changed, removed, duplicated or inserted."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(data)))
        to = min(len(data), at + draw(st.integers(0, 40)))
        match draw(st.integers(0, 4)):
            case 0:
                data[at:to] = draw(st.binary(max_size=8))
            case 1:
                data[at:at] = data[at:to] * draw(st.integers(1, 50))
            case 2:
                del data[at:to]
            case 3:
                data[at:at] = draw(st.sampled_from(seeds))
            case _:
                number = draw(st.sampled_from([0, 1, 0x7FFF, 0x8000, 0xFFFF, 0xFFFFFFFF, 1 << 63]))
                data[at : at + 8] = struct.pack("<Q", number)
    return bytes(data)


@pytest.mark.parametrize("name", TARGETS)
def test_the_seeds_are_understood(name: str) -> None:
    target, seeds = TARGETS[name]
    for seed in seeds:
        target(seed)
        target(seed[: len(seed) // 2])
        target(b"")


@many
@given(mutated(TARGETS["decode"][1]) | st.binary(max_size=1000))
def test_damaged_records_are_refused_or_decoded(data: bytes) -> None:
    decode_record(data)


@many
@given(st.binary(min_size=layout.HEADER_STRUCT.size, max_size=layout.HEADER_STRUCT.size + 400), st.data())
def test_records_with_any_header_whose_lengths_add_up_are_decoded(data: bytes, chosen: st.DataObject) -> None:
    room = len(data) - layout.HEADER_STRUCT.size
    lengths = []
    for _ in layout.SECTIONS:
        lengths.append(chosen.draw(st.integers(0, room)))
        room -= lengths[-1]
    at = struct.calcsize(_format_before("lengths"))
    changed = bytearray(data)
    struct.pack_into("<I", changed, at - 4, sum(lengths))
    struct.pack_into(f"<{len(lengths)}I", changed, at, *lengths)
    decode_record(bytes(changed))


def _format_before(name: str) -> str:
    formats = {"u64": "Q", "s32": "i", "u32": "I", "u16": "H", "u8": "B"}
    names = [member.name for member in layout.HEADER]
    return "<" + "".join(
        f"{member.count}{formats[member.ctype]}" for member in layout.HEADER[: names.index(name)]
    )


_of_filters = st.sampled_from([
    "(", ")", "not ", "!", " and ", " or ", "path", "uid", "errno", "age", "user", "arg", "~", "==", "!=",
    "<=", ":", "!:", " in (", ",", "..", "*", "**", "[", "]", "{2,3}", "+", "?", "|", "^", "$", '"', "\\",
    "5m", "0x2a", "ENOENT", "9" * 40, "a" * 5000, "(" * 50,
])  # fmt: skip


@many
@given(st.lists(texts | _of_filters, max_size=12).map("".join))
def test_any_filter_is_refused_or_can_be_applied(text: str) -> None:
    parse_filter(text.encode("utf-8", "surrogateescape"))


@many
@given(mutated(TARGETS["snapshot"][1]) | st.binary(max_size=200))
def test_damaged_lines_are_refused_or_understood(data: bytes) -> None:
    read_line(data)


_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 70), 1 << 70) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=100, deadline=None)
@given(records | losses, st.data())
def test_lines_with_values_of_another_type_are_refused_or_understood(
    event: object, chosen: st.DataObject
) -> None:
    parsed = json.loads(event_line(event, show_secrets=True))  # type: ignore[arg-type]
    for _ in range(chosen.draw(st.integers(1, 3))):
        inner = parsed
        while True:
            name = chosen.draw(st.sampled_from(sorted(inner)))
            if not isinstance(inner[name], dict) or not inner[name] or chosen.draw(st.booleans()):
                break
            inner = inner[name]
        inner[name] = chosen.draw(_values)
    read_line(json.dumps(parsed).encode())


@pytest.mark.parametrize(
    "line",
    [
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b'{"path":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"pid":' + b"9" * 1_000_000 + b"}",
        b'{"pid":1e999}',
        b'{"lost":NaN}',
        b'{"execwhy":1,"execwhy":2}',
        b'{"timestamp":"2026-11-24T21:50:12Z","timestamp":7}',
        b'{"path":"' + b"\\ud800" * 1000 + b'"}',
        b'{"comm":"\xff\xfe"}',
        b"\xef\xbb\xbf{}",
        b"\x00" * 1000,
        b'{"arguments":[' + b"null," * 500_000 + b"null]}",
    ],
    ids=lambda line: repr(line[:20]),
)
def test_huge_deeply_nested_and_duplicate_lines_are_refused(line: bytes) -> None:
    read_line(line)


@settings(max_examples=40, deadline=None)
@given(st.lists(mutated(TARGETS["snapshot"][1]), max_size=5).map(b"\n".join))
def test_a_damaged_file_is_read_to_its_end_and_its_damage_is_reported(data: bytes) -> None:
    with TemporaryDirectory() as directory:
        path = Path(directory, "file")
        path.write_bytes(data)
        source = FileSource(str(path))
        source.start()
        while source.status().stage is Stage.READING:
            source.wait(5)
        events = source.drain()
        status = source.status()
        source.close()
    assert status.stage in (Stage.ENDED, Stage.FAILED)
    counters = status.counters
    assert counters.seen == counters.recorded + counters.suppressed + counters.lost
    assert status.detail and (events or status.stage is Stage.FAILED or data)
