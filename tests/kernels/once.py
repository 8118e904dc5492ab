"""Checks that run once per boot, beside every kind of failure under every plan."""

from __future__ import annotations

import mmap
import os
import subprocess
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Final

from execwhy.bpf.events.record import ExecFailure
from execwhy.bpf.events.source import Counters
from execwhy.bpf.program.direct_map import direct_map
from execwhy.tui.why.causes import diagnose
from tests.kernels.boots import Boot
from tests.kernels.kinds import CASES, Found, Verdict, judged, left_in, x32_exec
from tests.kernels.listening import live
from tests.kernels.shares import (
    execs_and_copies,
    no_room_at_the_first_check,
    searches_left_open,
)
from tests.kernels.tables import Tables, newest_table
from tests.live.cases import Case
from tests.live.circumstances import become_user
from tests.live.exec_child import Exec, attempted, libc
from tests.live.expectation import COMPARED, compare, compare_fields
from tests.live.listener import add_up
from tests.live.stand_in import misses_are_counted, stands_in
from tests.live.zoo import Zoo

BEYOND_FOUR_LEVELS: Final = 1 << 50
"""An address that a process can have only with five levels (Documentation/arch/x86/x86_64/5level-paging)."""

_FILE_MAX: Final = "/proc/sys/fs/file-max"
_STORM_THREADS, _STORM_TIMES = 16, 250
_PREEMPTION: Final = "/sys/kernel/debug/sched/preempt"

_OF_HEADERS: Final = (
    "missing file",
    "text",
    "missing #! interpreter",
    "another user",
    "chroot, relative path",
    "stdin pipe",
    "execveat, below a directory",
)
_OF_ALL_FAILURES: Final = (
    "denied by seccomp",
    "missing file",
    "text",
    "missing #! interpreter",
    "thread",
    "after the point of no return",
)


def looks(boot: Boot, zoo: Zoo) -> Iterator[Verdict]:
    """Yield the verdict of each check."""
    known: dict[str, Callable[[], Found]] = {
        "page tables": partial(page_tables, boot.levels),
        "types from headers": partial(types_from_headers, zoo),
        "all failures": partial(all_failures, zoo),
        "all failures, table full": partial(all_failures_without_room, zoo),
        "shares of execs and copies": partial(execs_and_copies, zoo),
        "no room at the first check": partial(no_room_at_the_first_check, zoo),
        "searches that a user leaves open": partial(searches_left_open, zoo),
        "no file left in the whole system": partial(no_file_left, zoo),
        "another function in exec_binprm's place": partial(stands_in, zoo),
        "kretprobes that miss": partial(misses_are_counted, zoo),
        "full preemption": full_preemption,
        "programs that are skipped": partial(skipped_programs, zoo),
    }
    for name in boot.once:
        verdict = judged(name, known[name])
        print(name, verdict.seconds, verdict.problem[:300], flush=True)
        yield verdict


def page_tables(levels: int) -> Found:
    """Check the page-table levels of the boot: by the processor's flags, the kernel's map, and a mapping."""
    with open("/proc/cpuinfo") as file:
        flag = " la57" in file.read()
    base = direct_map()
    address = libc.mmap(
        BEYOND_FOUR_LEVELS, mmap.PAGESIZE, mmap.PROT_READ, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0
    )
    found = {
        "flag of the processor": 5 if flag else 4,
        "where all memory is mapped": None if base is None else 5 if base >> 48 != 0xFFFF else 4,
        "address that a process gets": 5 if address == BEYOND_FOUR_LEVELS else 4,
    }
    return {name: "" if each == levels else f"of {each} levels" for name, each in found.items()}


def full_preemption() -> Found:
    """Check that the kernel reports full preemption."""
    with open(_PREEMPTION) as file:
        mode = file.read()
    return {"mode": "" if "(full)" in mode else mode}


def types_from_headers(zoo: Zoo) -> Found:
    """With the types from the kernel's headers, a plan has the same records as from BTF."""
    found: Found = {}
    plan = "kprobe"
    with live(plan=plan, types="btf") as by_btf, live(plan=plan, types="headers") as by_headers:
        for case in _cases(_OF_HEADERS):
            with attempted(case.prepare(zoo)) as attempt:
                (first,) = by_btf.records_of(attempt.caller.pid, attempt.before)
                (second,) = by_headers.records_of(attempt.caller.pid, attempt.before)
                known = {name: getattr(first, name) for name in COMPARED - {"timestamp", "duration_ms"}}
                of_case = compare(first, attempt, case.expected(zoo, attempt)) | compare_fields(second, known)
            found |= {f"{case.name}: {name}": problem for name, problem in of_case.items()}
    return found


def all_failures(zoo: Zoo) -> Found:
    """With --all-failures what no function sees is recorded, too, and nothing twice."""
    newest = newest_table()
    found: Found = {}
    with live(plan="fentry", all_failures=True) as listener:
        tables = Tables(newest)
        for case in _cases(_OF_ALL_FAILURES):
            with attempted(case.prepare(zoo), in_thread=case.in_thread) as attempt:
                (record,) = listener.records_of(attempt.caller.pid, attempt.before)
                of_case = compare(record, attempt, case.expected(zoo, attempt))
            found |= {f"{case.name}: {name}": problem for name, problem in of_case.items()}
        # Twice in a row by one task: nothing that the first one has left may hide the second.
        for again in ("", ", again"):
            path, error = x32_exec()
            listener.catch_up()
            (record,) = (failure for failure in listener.failures if failure.path == path)
            known = {"error": error, "compat": True, "pid": os.getpid()}
            of_case = compare_fields(record, known)
            found |= {f"x32{again}: {name}": problem for name, problem in of_case.items()}
        assert "recorded_early" in tables.state
        found |= left_in(tables)
        tables.close()
    return found


def all_failures_without_room(zoo: Zoo) -> Found:
    """Check that a failure is recorded once even if it cannot be marked as recorded for sys_exit."""
    newest = newest_table()
    found: Found = {}
    with live(plan="fentry", all_failures=True) as listener:
        tables = Tables(newest)
        tables.fill("recorded_early")
        for case in _cases(_OF_ALL_FAILURES):
            with attempted(case.prepare(zoo), in_thread=case.in_thread) as attempt:
                records = listener.records_of(attempt.caller.pid, attempt.before)
                found[f"{case.name}: records"] = "" if len(records) == 1 else str(len(records))
                of_case = compare(records[0], attempt, case.expected(zoo, attempt))
            found |= {f"{case.name}: {name}": problem for name, problem in of_case.items()}
        counters = listener.counters
        found["account"] = "" if add_up(counters) and not counters.lost else str(counters)
        tables.close()
    return found


def no_file_left(zoo: Zoo) -> Found:
    """Check that ENFILE is named but not certain. Only root can open files while it lasts."""

    def in_child() -> Exec:
        become_user()
        return Exec(zoo.path("succeeds"))

    with live() as listener, open(_FILE_MAX, "r+") as file_max:
        before = file_max.read()

        def set_to(text: str) -> None:
            file_max.seek(0)
            file_max.write(text)
            file_max.flush()

        with attempted(in_child, meanwhile=lambda pid: set_to("0")) as attempt:
            (record,) = listener.records_of(attempt.caller.pid, attempt.before)
            diagnosis = diagnose(record)
        set_to(before)
    actual = {"error": attempt.error, "code": diagnosis.code, "certain": diagnosis.certain}
    wanted = {"error": "ENFILE", "code": "system-file-limit", "certain": False}
    return {name: "" if each == wanted[name] else str(each) for name, each in actual.items()}


def skipped_programs(zoo: Zoo) -> Found:
    """Check that runs that a preempted program makes the kernel skip are counted as losses."""
    marker = str(uuid.uuid4())
    with live(plan="fentry") as listener:
        command = [zoo / "storm", zoo / "text", marker, str(_STORM_THREADS), str(_STORM_TIMES)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        records = [record for record in listener.records_with(marker) if record.path == zoo / "text"]
        missing = _STORM_THREADS * _STORM_TIMES - len(records)
        poor = sum(not _is_whole(record) for record in records)
        # Skipped runs are read only now and then.
        listener.until(lambda: _have_come(listener.counters, missing, poor), f"{missing} losses, {poor} poor")
        counters = listener.counters
    print(f"{len(records)} records, lost {counters.losses}, incomplete {counters.incomplete}", flush=True)
    return {
        "account": "" if add_up(counters) else str(counters),
        "execs": "" if missing == counters.lost else f"{missing} have no record, {counters.losses}",
        "facts": "" if poor <= sum(counters.incomplete.values()) else f"{poor}, {counters.incomplete}",
        "each once": "" if len({record.arguments for record in records}) == len(records) else "not so",
    }


def _have_come(counters: Counters, lost: int, incomplete: int) -> bool:
    return counters.lost >= lost and sum(counters.incomplete.values()) >= incomplete


def _is_whole(record: ExecFailure) -> bool:
    return bool(record.binary and record.binary.source == "kernel" and record.arguments_source == "kernel")


def _cases(names: tuple[str, ...]) -> Iterator[Case]:
    found = {case.name: case for case in CASES}
    for name in names:
        yield replace(found[name], unseen_by=frozenset())
