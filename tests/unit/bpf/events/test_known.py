"""The memo of records is bounded in bytes, not in entries."""

from __future__ import annotations

from dataclasses import replace

from execwhy.bpf.events.arrivals import Occurrence
from execwhy.bpf.events.identity_memo import Enricher, IdentityMemo
from execwhy.bpf.events.known import Known, size_of, size_of_record
from execwhy.bpf.events.record import ExecFailure

LARGE = 40_000
"""Bytes that the strings of each record take: near the most that one can have."""


def large(number: int) -> ExecFailure:
    variables = (f"V{number}_{index}={'x' * 50}" for index in range(LARGE // 110))
    return ExecFailure(timestamp=number, path=f"/{number}", return_value=-2, environment=tuple(variables))


def test_an_answer_is_computed_once_until_the_memo_is_full() -> None:
    asked: list[bytes] = []

    def answer(argument: bytes) -> int:
        asked.append(argument)
        return len(argument)

    known = Known(answer, 100_000, len)
    for _ in range(3):
        assert [known[b"x" * length] for length in (1, 2, 3)] == [1, 2, 3]
    assert asked == [b"x", b"xx", b"xxx"]
    for number in range(1000):
        known[b"%09000d" % number]
        assert sum(map(len, known)) <= 100_000
    assert known[b"x"] == 1
    assert len(asked) == 1004


def test_the_size_of_a_value_includes_its_content() -> None:
    assert size_of(("a" * 1000, ("b" * 1000, None))) > 2000
    assert LARGE * 0.8 < size_of_record(large(1)) < LARGE * 1.5
    assert size_of_record(ExecFailure(timestamp=1, path=None, return_value=-2, arguments=(None,))) < 2000


def test_caches_hold_only_a_few_large_records() -> None:
    known = IdentityMemo(lambda record: record.path)
    added = Enricher()
    fact = "fact"
    for number in range(400):
        record = large(number)
        assert known(record) == known(record) == f"/{number}"
        again = Occurrence(record, number, 1, 1, 0, None)
        first = added.enrich(again, fact, unit="u")
        assert isinstance(first, Occurrence)
        again_same = added.enrich(again, fact, unit="u")
        assert isinstance(again_same, Occurrence) and again_same.template is first.template
        assert len(known._known) * LARGE < 6 << 20
        assert len(added._shared) * LARGE < 6 << 20


def test_the_memo_holds_many_small_records() -> None:
    asked: list[int] = []
    known = IdentityMemo(lambda record: asked.append(record.timestamp))
    records = [ExecFailure(timestamp=number, path="/x", return_value=-2) for number in range(1000)]
    for record in records * 3:
        known(record)
    assert asked == list(range(1000))


def test_the_size_of_a_record_includes_its_wide_characters() -> None:
    narrow = ExecFailure(timestamp=0, path="/x", return_value=-2, arguments=("a" * 8000,))
    wide = replace(
        narrow, arguments=("a" * 7999 + "\N{PERFORMING ARTS}",), path="/" + "\N{PERFORMING ARTS}" * 1000
    )
    assert wide.footprint - narrow.footprint > 3 * 8000 + 4 * 1000
