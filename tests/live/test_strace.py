"""strace watches the same execs and agrees with the record on everything that both know."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from tests.live.caller_cases import CALLERS
from tests.live.cases import Case
from tests.live.compat_cases import COMPAT_CALLS, COMPAT_PROGRAMS
from tests.live.error_cases import ERRORS
from tests.live.exec_child import Exec, attempted, attempted_by
from tests.live.listener import Listener
from tests.live.strace import assert_same, witness
from tests.live.string_cases import STRINGS
from tests.live.zoo import Zoo

CASES = [*ERRORS, *STRINGS, *CALLERS]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_records_agree_with_strace(case: Case, zoo: Zoo, listener: Listener, tmp_path: Path) -> None:
    with witness(str(tmp_path / "strace")) as strace:
        with attempted(case.prepare(zoo), in_thread=case.in_thread, meanwhile=strace.attach) as attempt:
            (record,) = listener.records_of(attempt.caller.pid, attempt.before)
        (seen,) = strace.seen()
    assert_same(record, seen)


ONLY_X86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="int $0x80 is of x86")


@ONLY_X86
@pytest.mark.parametrize("program", COMPAT_PROGRAMS)
@pytest.mark.parametrize("call", [call for call, _ in COMPAT_CALLS.values()], ids=COMPAT_CALLS)
def test_records_of_a_32_bit_call_agree_with_strace(
    program: str, call: Exec, zoo: Zoo, listener: Listener, tmp_path: Path
) -> None:
    with witness(str(tmp_path / "strace")) as strace:
        with attempted_by(zoo / program, call, meanwhile=strace.attach) as attempt:
            (record,) = listener.records_of(attempt.caller.pid, attempt.before)
        (seen,) = strace.seen()
    assert_same(record, seen)
