"""The fields that causes declare to read agree with ``SHARED_DIAGNOSIS``."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any, ClassVar, Final

import pytest

from execwhy.bpf.events.identity import FOUND_LATER, OF_SOME_CAUSES, SHARED_DIAGNOSIS, leaves
from execwhy.bpf.events.record import ExecFailure
from execwhy.tui.why.causes import readings
from execwhy.tui.why.lookers.grouping import cause_key
from tests.unit.bpf.events.test_identity import differing
from tests.unit.test_pinned_output import FULL
from tests.unit.tui.why.failing import a_failure

NOT_FIELDS: Final = {"error": "return_value", "path_is_proven": "path_source"}
"""Properties of a record, and the field that each is made of."""

SHARED: Final = replace(
    FULL,
    path="/nowhere", return_value=-errno.ENOENT, killed_by=None, dirfd=None, duration_ms=60_000,
    comm="s", arguments=("nowhere", "/bin/s"), environment=("PATH=/a",),
    mount_ns=a_failure("/", errno.ENOENT).mount_ns,
)  # fmt: skip
"""A failure whose diagnosis can be shared."""


class Watched(ExecFailure):
    """A record that notes which of its fields are read."""

    read: ClassVar[set[str]] = set()

    def __getattribute__(self, name: str) -> Any:
        Watched.read.add(NOT_FIELDS.get(name, name))
        return super().__getattribute__(name)


def watched() -> Iterator[Watched]:
    """Yield records that differ in everything that a reading may ask first."""
    for changed in ({}, {"path": "x", "path_source": "user", "mount_ns": 1, "arguments": ()}):
        record = replace(FULL, **changed)  # type: ignore[arg-type]
        yield Watched(**{field.name: getattr(record, field.name) for field in fields(ExecFailure)})


def read_for_any_errno() -> set[str]:
    """Return the fields that the key of any errno is made of; parts as a whole."""
    records = list(watched())
    Watched.read.clear()
    for number in errno.errorcode:
        for reading in readings(number):
            for record in records:
                reading(record)
    return Watched.read & {field.name for field in fields(ExecFailure)}


def test_the_readings_read_what_the_identity_covers() -> None:
    assert read_for_any_errno() == {name.partition(".")[0] for name in SHARED_DIAGNOSIS.covered}


def test_no_reading_may_read_a_field_that_the_identity_leaves_out() -> None:
    allowed = {name for number in errno.errorcode for one in readings(number) for name in one.fields}
    assert not allowed & SHARED_DIAGNOSIS.left_out.keys()


@pytest.mark.parametrize("leaf", [leaf for leaf in leaves() if SHARED_DIAGNOSIS.has(leaf)])
def test_records_that_differ_in_what_every_cause_reads_share_no_diagnosis(leaf: str) -> None:
    assert cause_key(differing(SHARED, leaf)) != cause_key(SHARED)


@pytest.mark.parametrize("leaf", SHARED_DIAGNOSIS.left_out)
def test_a_field_left_out_of_the_key_separates_no_records(leaf: str) -> None:
    if leaf not in FOUND_LATER and "." not in leaf:
        assert cause_key(differing(SHARED, leaf)) == cause_key(SHARED)


@pytest.mark.parametrize(
    "changed",
    [
        {"environment": ("PATH=/b",)},
        {"arguments": ("other", "/bin/s")},
        {"arguments": ("nowhere", "/b/s")},
        {"comm": "t"},
        {"duration_ms": 90_000},
        {"mount_ns": 1},
        {"dirfd": 3},
        {"killed_by": "SIGKILL"},
    ],
    ids=repr,
)
def test_records_that_differ_in_what_some_causes_read_share_none(changed: dict[str, Any]) -> None:
    assert {*changed} <= {*SHARED_DIAGNOSIS.derived, *SHARED_DIAGNOSIS.sometimes[OF_SOME_CAUSES]}
    assert cause_key(replace(SHARED, **changed)) != cause_key(SHARED)
