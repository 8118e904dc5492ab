from __future__ import annotations

import os

import pytest

from execwhy.bpf.maps import misses
from execwhy.bpf.maps.misses import UNREADABLE, Misses
from execwhy.bpf.maps.syscalls import missed_hits, missed_runs
from execwhy.bpf.program.plans import Hook

EVENT = Hook("fexit", "__x64_sys_execve", "the event", "on_exec_return", is_event=True)
FACT = Hook("kretprobe", "exec_binprm", "the interpreter", "on_exec_binprm_return")


def test_skipped_runs_are_counted_by_hook_as_lost_events_or_missing_facts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(misses, "missed_runs", {10: 3, 11: 1}.__getitem__)
    monkeypatch.setattr(misses, "missed_hits", {20: 0, 21: 4}.__getitem__)
    counts = Misses(((EVENT, 10), (FACT, 11)), (20, 21))
    assert counts.of_events() == {"fexit __x64_sys_execve skipped by the kernel": 3}
    assert counts.of_facts() == {"kretprobe exec_binprm skipped by the kernel": 5}


def test_a_hook_that_has_missed_nothing_is_not_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(misses, "missed_runs", lambda program: 0)
    monkeypatch.setattr(misses, "missed_hits", lambda link: 0)
    counts = Misses(((EVENT, 10), (FACT, 11)), (20, 21))
    assert (counts.of_events(), counts.of_facts()) == ({}, {})


def test_a_descriptor_that_is_not_a_probe_has_missed_nothing() -> None:
    descriptor = os.open(os.devnull, os.O_RDONLY)
    try:
        assert missed_hits(descriptor) == 0
    finally:
        os.close(descriptor)


def test_a_count_that_cannot_be_read_is_reported_and_keeps_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    descriptor = os.open(os.devnull, os.O_RDONLY)
    os.close(descriptor)
    assert missed_runs(descriptor) is None
    monkeypatch.setattr(misses, "missed_hits", lambda link: 0)
    monkeypatch.setattr(misses, "_AGE", -1.0)
    readings: dict[int, int | None] = {10: 3, 11: 0}
    monkeypatch.setattr(misses, "missed_runs", readings.__getitem__)
    counts = Misses(((EVENT, 10), (FACT, 11)), (20, 21))
    assert counts.of_facts() == {}
    readings |= {10: None, 11: None}
    assert counts.of_facts() == {UNREADABLE: 2}
    assert counts.of_events() == {"fexit __x64_sys_execve skipped by the kernel": 3}, "what was known stays"
