"""No user takes the kernel's facts from others, whatever they hold up."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from bpf.layout import MAX_SEARCHERS, SHARE_OF_TABLE
from tests.kernels.kinds import Found
from tests.kernels.listening import live
from tests.kernels.tables import SEARCHERS, Tables, newest_table
from tests.live.cases import MISSING
from tests.live.circumstances import GROUP, USER, become_user
from tests.live.exec_child import PATIENCE, Exec, attempted
from tests.live.listener import Listener
from tests.live.zoo import Zoo

_SHARE_OF_SEARCHES: Final = MAX_SEARCHERS // SHARE_OF_TABLE
_BEYOND: Final = 64
"""So many more than their share a user goes for."""
_OTHER_USER: Final = 40_003


def searches_left_open(zoo: Zoo) -> Found:
    """Whose tasks search in great number takes nobody else's searches, and has them again afterwards."""
    newest = newest_table()
    with live() as listener:
        tables = Tables(newest)
        processes = _SHARE_OF_SEARCHES + _BEYOND
        tables.fill(SEARCHERS, room=processes)
        with crowd(zoo, os.fsdecode(MISSING), processes) as hostile:
            assert hostile.stdout is not None
            assert len(hostile.stdout.read(processes)) == processes
            found = _end_of_search(listener, _OTHER_USER, "another user")
            untracked = listener.counters.untracked
        found |= _end_of_search(listener, USER, "the user, afterwards")
        tables.close()
    found["untracked"] = "" if 0 < untracked <= _BEYOND else str(untracked)
    return found


@contextmanager
def crowd(zoo: Zoo, path: str, processes: int) -> Iterator[subprocess.Popen[bytes]]:
    """Have so many processes of the user exec a path; each writes one byte once that has failed."""
    command = [zoo / "crowd", path, str(processes)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, user=USER, group=GROUP, extra_groups=[]
    ) as process:
        assert process.stdin is not None
        try:
            yield process
        finally:
            process.stdin.close()
            status = process.wait(PATIENCE)
    assert status == 0, f"there is no room for {processes} processes"


def _end_of_search(listener: Listener, user: int, whose: str) -> Found:
    """Whether it is known that a user's search is over."""

    def in_child() -> Exec:
        become_user(user)
        return Exec(MISSING)

    with attempted(in_child) as attempt:
        (record,) = listener.records_of(attempt.caller.pid, attempt.before)
    listener.catch_up()
    ends = [end for end in listener.search_ends if (end.task, end.tid) == (record.task, record.tid)]
    return {f"{whose}: ends": "" if len(ends) == 1 else f"{len(ends)} ends"}
