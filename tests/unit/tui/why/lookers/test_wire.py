"""What travels to a looker and back arrives as it was."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execwhy.bpf.events.record import Binary, Diagnosis, ExecFailure, Look
from execwhy.tui.why.lookers.wire import (
    HEADER,
    MAX_FRAME,
    Frames,
    WireError,
    framed,
    look_from_wire,
    look_to_wire,
    record_from_wire,
    record_to_wire,
)
from tests.unit.records import records


@given(records)
def test_a_record_arrives_whole_but_for_what_no_look_reads(record: ExecFailure) -> None:
    sent = replace(record, diagnosis=None, search=None, host=None)
    assert record_from_wire(record_to_wire(sent)) == sent


TEXT = st.text(st.characters(exclude_categories=[]))


@given(TEXT, TEXT, st.none() | TEXT, st.booleans())
def test_a_look_arrives_whole(summary: str, path: str, interpreter: str | None, certain: bool) -> None:
    binary = Binary(path, 1, "0:1", 2**64 - 1, 3, 0o100644, "resolved", 0, 0, 5)
    look = Look(Diagnosis("code", summary, (summary, ""), None, certain, "x"), binary, interpreter, "/a")
    assert look_from_wire(look_to_wire(look)) == look


@given(st.lists(st.binary(max_size=50), max_size=10), st.integers(1, 20))
def test_frames_are_found_however_the_stream_is_cut(payloads: list[bytes], step: int) -> None:
    numbered = [(2**63 + number, payload) for number, payload in enumerate(payloads)]
    stream = b"".join(framed(payload, number) for number, payload in numbered)
    frames = Frames()
    found = [frame for at in range(0, len(stream), step) for frame in frames.feed(stream[at : at + step])]
    assert found == numbered


@pytest.mark.parametrize(
    "data", [b"", b"x", b"[]", b"1", b'{"no":1}', b'{"path":1}', b'{"binary":[1]}', b"[1,2]"]
)
def test_nonsense_is_refused(data: bytes) -> None:
    with pytest.raises(WireError):
        record_from_wire(data)
    with pytest.raises(WireError):
        look_from_wire(data)


def test_a_frame_that_claims_too_much_is_refused() -> None:
    with pytest.raises(WireError, match="longer than any"):
        Frames().feed(HEADER.pack(MAX_FRAME + 1, 1))
