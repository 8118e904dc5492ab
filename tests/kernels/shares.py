"""No user can deprive others of facts from the kernel by delaying execs."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from execwhy.bpf.events.record import ExecFailure
from execwhy.bpf.program.limits import MAX_COPIES, MAX_EXECS, MAX_SEARCHERS, SHARE_OF_TABLE
from tests.kernels.kinds import Found
from tests.kernels.listening import live
from tests.kernels.tables import SEARCHERS, Tables, newest_table
from tests.live.cases import MISSING
from tests.live.circumstances import GROUP, USER, become_user
from tests.live.exec_child import EXECVE, PATIENCE, Exec, attempted
from tests.live.listener import Listener
from tests.live.stand_in import opening_waits
from tests.live.zoo import Zoo

_SHARE_OF_EXECS: Final = MAX_EXECS // SHARE_OF_TABLE
_SHARE_OF_COPIES: Final = MAX_COPIES // SHARE_OF_TABLE
_SHARE_OF_SEARCHES: Final = MAX_SEARCHERS // SHARE_OF_TABLE
_BEYOND: Final = 64
"""How many execs a user attempts beyond the share."""
_OTHER_USER: Final = 40_003
_ROOM: Final = 4
"""How many execs a user delays, beyond the room in the table."""
_LEFT: Final = 2
"""How many of them are within the user's share."""


def execs_and_copies(zoo: Zoo) -> Found:
    """No user takes more than their share of the tables of execs and of copies, and all is given back."""
    newest = newest_table()
    with live() as listener:
        tables = Tables(newest)
        found = _copies_on_their_way(zoo, listener, tables) | _execs_held_up(zoo, listener, tables)
        tables.close()
    return found


def _copies_on_their_way(zoo: Zoo, listener: Listener, tables: Tables) -> Found:
    """Whose failing execs have their share of the copies gets no more of them; others do."""
    found: Found = {}
    for held, source in ((_SHARE_OF_COPIES, "user"), (_SHARE_OF_COPIES - 1, "kernel")):
        tables.set_held(USER, 0, held)
        for user, expected in ((USER, source), (_OTHER_USER, "kernel")):
            record = _failure(zoo, listener, user)
            name = f"arguments of {user} where {USER} has {held}"
            found[name] = _difference(record.arguments_source, expected)
        found[f"given back of {held}"] = _difference(tables.held_by(USER)[:2], (0, held))
    found["counted"] = _difference(sum(listener.counters.incomplete.values()), 1)
    return found


def _execs_held_up(zoo: Zoo, listener: Listener, tables: Tables) -> Found:
    """Who holds up more execs than their share takes nobody else's facts, and has them again afterwards.

    Hundreds of those are only said to be there: that many processes take a guest minutes.
    """
    counted = sum(listener.counters.incomplete.values())
    tables.fill("execs", room=_ROOM)
    others = tables.entries("execs")
    said = (_SHARE_OF_EXECS - _LEFT, 0)
    tables.set_held(USER, *said)
    with held_up(zoo, "held-up-share", _ROOM):
        held, count = tables.entries("execs") - others, tables.held_by(USER)[0]
        found = _is_whole(_failure(zoo, listener, _OTHER_USER), "another user")
    found |= _is_whole(_failure(zoo, listener, USER), "the user, afterwards")
    found["held"] = "" if (held, count) == (_LEFT, _SHARE_OF_EXECS) else f"{held} of {count}"
    found["given back"] = _difference(tables.held_by(USER)[:2], said)
    more = sum(listener.counters.incomplete.values()) - counted
    found["counted, too"] = "" if more >= _ROOM - _LEFT else str(more)
    return found


def no_room_at_the_first_check(zoo: Zoo) -> Found:
    """Check that the interpreter is not recorded as the program if room appears only once it is opened."""
    newest = newest_table()
    with live(plan="legacy") as listener:
        tables = Tables(newest)
        tables.fill("execs")
        with held_up(zoo, "held-up-without-room", 1) as script:
            tables.make_room("execs", _ROOM)
        listener.catch_up()
        (record,) = (failure for failure in listener.failures if failure.path == script)
        tables.close()
    return {
        "error": _difference(record.error, "ENOEXEC"),
        "binary": _difference(record.binary and record.binary.path, script),
        "argc": _difference(record.truncated.argc, 1),
    }


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
def held_up(zoo: Zoo, name: str, processes: int) -> Iterator[str]:
    """Have processes of the user exec a script whose interpreter, a text, is not opened until the end.

    Its path is yielded. After the end all of them have failed.
    """
    interpreter, script = zoo / f"{name}.interpreter", zoo / name
    for path, text in ((interpreter, "no program\n"), (script, f"#!{interpreter}\n")):
        with open(path, "w") as file:
            file.write(text)
        os.chmod(path, 0o755)
    with ExitStack() as until_failed:
        with opening_waits(interpreter):
            crowd_of_user = until_failed.enter_context(crowd(zoo, script, processes))
            _wait_until_all_exec(crowd_of_user.pid, processes)
            yield script
        assert crowd_of_user.stdout is not None
        assert len(crowd_of_user.stdout.read(processes)) == processes


@contextmanager
def crowd(zoo: Zoo, path: str, processes: int) -> Iterator[subprocess.Popen[bytes]]:
    """Let this many processes of the user exec a path; each writes one byte after that has failed."""
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


def _wait_until_all_exec(pid: int, processes: int) -> None:
    """Wait until that many children of a process are asleep in an execve."""
    deadline = time.monotonic() + PATIENCE
    while True:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            calls = [_system_call(child) for child in file.read().split()]
        if calls.count(str(EXECVE)) == processes:
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"not all of {processes} processes are in execve: {calls}")
        time.sleep(0.1)


def _system_call(pid: str) -> str:
    with open(f"/proc/{pid}/syscall") as file:
        return file.read().split()[0]


def _failure(zoo: Zoo, listener: Listener, user: int) -> ExecFailure:
    """Return the record of a user's script whose interpreter is missing."""

    def in_child() -> Exec:
        become_user(user)
        return Exec(zoo.path("bad-interpreter"))

    with attempted(in_child) as attempt:
        (record,) = listener.records_of(attempt.caller.pid, attempt.before)
    return record


def _is_whole(record: ExecFailure, whose: str) -> Found:
    """Return whether a record has everything that only the kernel knows."""
    return {
        f"{whose}: path": _difference(record.path_source, "kernel"),
        f"{whose}: binary": _difference(record.binary and record.binary.source, "kernel"),
        f"{whose}: arguments": _difference(record.arguments_source, "kernel"),
        f"{whose}: interpreter": _difference(record.interpreter_path, "/no/such/interpreter"),
    }


def _difference(found: object, wanted: object) -> str:
    return "" if found == wanted else f"{found}, not {wanted}"


def _end_of_search(listener: Listener, user: int, whose: str) -> Found:
    """Return whether the end of a user's search is known."""

    def in_child() -> Exec:
        become_user(user)
        return Exec(MISSING)

    with attempted(in_child) as attempt:
        (record,) = listener.records_of(attempt.caller.pid, attempt.before)
    listener.catch_up()
    ends = [end for end in listener.search_ends if (end.task, end.tid) == (record.task, record.tid)]
    return {f"{whose}: ends": "" if len(ends) == 1 else f"{len(ends)} ends"}
