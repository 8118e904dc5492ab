"""strace watches the same execs: where it and the record both know something, they say the same."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from bpf.record import ExecFailure
from tests.live.caller_cases import CALLERS
from tests.live.cases import Case
from tests.live.compat_cases import COMPAT_CALLS, COMPAT_PROGRAMS, ONLY_X86
from tests.live.error_cases import ERRORS
from tests.live.exec_child import Exec, attempted, attempted_by
from tests.live.listener import Listener
from tests.live.strace import Seen, Word, witness
from tests.live.string_cases import STRINGS
from tests.live.zoo import Zoo

CASES = [*ERRORS, *STRINGS, *CALLERS]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_strace_saw_the_same(case: Case, zoo: Zoo, listener: Listener, tmp_path: Path) -> None:
    with witness(str(tmp_path / "strace")) as strace:
        with attempted(case.prepare(zoo), in_thread=case.in_thread, meanwhile=strace.attach) as attempt:
            (record,) = listener.records_of(attempt.caller.pid, attempt.before)
        (seen,) = strace.seen()
    assert_same(record, seen)


@ONLY_X86
@pytest.mark.parametrize("program", COMPAT_PROGRAMS)
@pytest.mark.parametrize("call", [call for call, _ in COMPAT_CALLS.values()], ids=COMPAT_CALLS)
def test_strace_saw_the_same_of_a_32_bit_call(
    program: str, call: Exec, zoo: Zoo, listener: Listener, tmp_path: Path
) -> None:
    with witness(str(tmp_path / "strace")) as strace:
        with attempted_by(zoo / program, call, meanwhile=strace.attach) as attempt:
            (record,) = listener.records_of(attempt.caller.pid, attempt.before)
        (seen,) = strace.seen()
    assert_same(record, seen)


def assert_same(record: ExecFailure, seen: Seen) -> None:
    assert (record.syscall, record.error) == (seen.syscall, seen.error)
    assert_same_string(record.path, record.truncated.path, seen.path)
    if record.killed_by:
        return
    for strings, cut, words in (
        (record.arguments, record.truncated.argument_indexes, seen.argv),
        (record.environment, record.truncated.environment_indexes, seen.envp),
    ):
        assert_same_strings(strings, cut, words)
    for total, words in ((record.truncated.argc, seen.argv), (record.truncated.envc, seen.envp)):
        if words is not None and total is not None:
            assert total == len(words)


def assert_same_strings(
    recorded: Sequence[str | None], cut: Sequence[int], seen: Sequence[Word] | None
) -> None:
    if seen is None:
        assert not any(recorded)
        return
    assert len(recorded) <= len(seen)
    for index, (string, word) in enumerate(zip(recorded, seen, strict=False)):
        # strace reads pages in that nobody has touched; a record leaves them as they were.
        if string is not None:
            assert_same_string(string, index in cut, word)


def assert_same_string(recorded: str | None, cut: bool, seen: Word) -> None:
    if recorded is None or seen is None:
        assert recorded is None and seen is None
        return
    content = os.fsencode(recorded)
    if cut and seen.cut:
        assert content.startswith(seen.content) or seen.content.startswith(content)
    elif seen.cut:
        assert content.startswith(seen.content)
    elif cut:
        assert seen.content.startswith(content)
    else:
        assert content == seen.content
