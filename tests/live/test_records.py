"""Every way to fail gives exactly one record, and each of its fields is right."""

from __future__ import annotations

import pytest

from execwhy.bpf.read.reader import KernelSource
from tests.live.caller_cases import CALLERS
from tests.live.cases import Case
from tests.live.error_cases import ERRORS
from tests.live.exec_child import attempted
from tests.live.expectation import check
from tests.live.listener import PLAN, Listener
from tests.live.string_cases import STRINGS
from tests.live.zoo import Zoo


def record_is_right(case: Case, zoo: Zoo, listener: Listener) -> None:
    with attempted(case.prepare(zoo), in_thread=case.in_thread) as attempt:
        records = listener.records_of(attempt.caller.pid, attempt.before)
        if listener.plan in case.unseen_by:
            assert records == []
            return
        assert len(records) == 1
        check(records[0], attempt, case.expected(zoo, attempt))


@pytest.mark.parametrize("case", ERRORS, ids=[case.name for case in ERRORS])
def test_every_error_is_recorded_once_and_correctly(case: Case, zoo: Zoo, listener: Listener) -> None:
    record_is_right(case, zoo, listener)


@pytest.mark.parametrize("case", STRINGS, ids=[case.name for case in STRINGS])
def test_argv_and_envp_are_as_passed_or_marked(case: Case, zoo: Zoo, listener: Listener) -> None:
    record_is_right(case, zoo, listener)


@pytest.mark.parametrize("case", CALLERS, ids=[case.name for case in CALLERS])
def test_the_facts_of_the_caller_are_correct(case: Case, zoo: Zoo, listener: Listener) -> None:
    record_is_right(case, zoo, listener)


def test_with_all_failures_seccomp_refusals_are_recorded_and_nothing_twice(zoo: Zoo) -> None:
    source = KernelSource(plan=PLAN, all_failures=True)
    listener = Listener(source)
    try:
        listener.start()
        for case in (c for c in ERRORS if c.name in ("denied by seccomp", "missing file", "text")):
            with attempted(case.prepare(zoo)) as attempt:
                (record,) = listener.records_of(attempt.caller.pid, attempt.before)
                check(record, attempt, case.expected(zoo, attempt))
    finally:
        source.close()
