"""The capture filter: the kernel counts as suppressed exactly what the filter leaves out."""

from __future__ import annotations

import os
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator

import pytest

from execwhy.bpf.events.source import Capture
from tests.live import circumstances
from tests.live.exec_child import Exec, attempted
from tests.live.listener import Listener, add_up, fail_to_exec
from tests.live.zoo import Zoo

LONGEST = 254
"""Bytes of a path that the kernel program compares."""


@pytest.fixture
def capture(listener: Listener) -> Iterator[Callable[[Capture], None]]:
    """Set a capture filter for one test."""
    yield listener.source.set_capture
    listener.source.set_capture(None)


def fail_as_user(path: str) -> int:
    """Exec a path that does not exist as ``circumstances.USER``; returns the pid."""

    def prepare() -> Exec:
        circumstances.become_user()
        return Exec(os.fsencode(path))

    with attempted(prepare) as attempt:
        return attempt.caller.pid


@pytest.mark.parametrize(
    ("wanted", "matching", "others"),
    [
        (
            Capture(paths=("/no/exact",)),
            ["/no/exact"],
            ["/no/exact2", "/no/exac", "/no/exact/", "no/exact"],
        ),
        (
            Capture(path_prefixes=("/no/pre",)),
            ["/no/pre", "/no/prefix", "/no/pre/fix"],
            ["/no/pr", "/other/no/pre", ""],
        ),
        (
            Capture(paths=("/no/a",), path_prefixes=("/no/b/",)),
            ["/no/a", "/no/b/", "/no/b/c"],
            ["/no/b", "/no/a/b"],
        ),
        (Capture(paths=("/no/\udcff\x1b",)), ["/no/\udcff\x1b"], ["/no/\udcff"]),
        (
            Capture(excluded_paths=("/no/a",), excluded_prefixes=("/no/b/",)),
            ["/no/a2", "/no/", "/no/b", "no/a", "/no/c"],
            ["/no/a", "/no/b/", "/no/b/c"],
        ),
        (
            Capture(path_prefixes=("/no/x",), excluded_paths=("/no/xa",), excluded_prefixes=("/no/xb",)),
            ["/no/x", "/no/xc", "/no/xaa"],
            ["/no/xa", "/no/xb", "/no/xbb", "/no/y"],
        ),
    ],
    ids=["exact", "prefix", "either", "bytes", "excluded", "all but"],
)
def test_the_kernel_records_only_the_paths_of_the_filter(
    wanted: Capture,
    matching: list[str],
    others: list[str],
    capture: Callable[[Capture], None],
    listener: Listener,
) -> None:
    listener.catch_up()
    before, first = listener.counters, len(listener.failures)
    capture(wanted)
    for path in others:
        fail_to_exec(path)
    for path in matching:
        fail_to_exec(path)
    listener.until(
        lambda: any(failure.path == matching[-1] for failure in listener.failures[first:]), "the last record"
    )
    after = listener.counters
    recorded = [failure.path for failure in listener.failures[first:] if failure.ppid == os.getpid()]
    assert recorded == matching
    assert after.suppressed >= before.suppressed + len(others)
    assert add_up(after)


@pytest.mark.parametrize(
    ("ranges", "root_matches", "user_matches"),
    [
        (((circumstances.USER, circumstances.USER),), False, True),
        (((0, 0),), True, False),
        (((0, circumstances.USER - 1),), True, False),
        (((circumstances.USER + 1, 2**32 - 1), (0, 0)), True, False),
        (((5, 6), (40_000, 41_000)), False, True),
    ],
)
def test_the_kernel_records_only_the_users_of_the_filter(
    ranges: tuple[tuple[int, int], ...],
    root_matches: bool,
    user_matches: bool,
    capture: Callable[[Capture], None],
    listener: Listener,
) -> None:
    path = f"/no/{uuid.uuid4()}"
    suppressed = listener.counters.suppressed
    capture(Capture(uid_ranges=ranges))
    fail_to_exec(path)
    fail_as_user(path)
    assert listener.counters.suppressed > suppressed
    # The filter is gone: execs from now on are recorded, and all earlier records have arrived.
    capture(Capture())
    listener.catch_up()
    uids = [failure.uid for failure in listener.failures if failure.path == path]
    assert uids == [0] * root_matches + [circumstances.USER] * user_matches


def test_both_conditions_of_a_capture_must_hold(
    capture: Callable[[Capture], None], listener: Listener
) -> None:
    path = f"/no/{uuid.uuid4()}"
    capture(Capture(uid_ranges=((circumstances.USER, circumstances.USER),), path_prefixes=(path,)))
    fail_to_exec(path)
    fail_as_user("/no/other")
    user = fail_as_user(path)
    capture(Capture())
    listener.catch_up()
    assert [failure.pid for failure in listener.failures if failure.path == path] == [user]


@pytest.mark.parametrize(
    "too_much",
    [
        Capture(paths=tuple(f"/no/{number}" for number in range(1000))),
        Capture(path_prefixes=("/" + "p" * 5000,)),
        Capture(uid_ranges=tuple((uid, uid) for uid in range(0, 2000, 2))),
    ],
    ids=["paths", "one long path", "users"],
)
def test_a_capture_that_does_not_fit_the_kernel_is_refused_and_changes_nothing(
    too_much: Capture, capture: Callable[[Capture], None], listener: Listener
) -> None:
    path = f"/no/{uuid.uuid4()}"
    capture(Capture(paths=(path,)))
    with pytest.raises(ValueError, match=r".\.$"):
        capture(too_much)
    suppressed = listener.counters.suppressed
    fail_to_exec("/no/other")
    fail_to_exec(path)
    listener.until(lambda: any(failure.path == path for failure in listener.failures), "the record")
    assert listener.counters.suppressed > suppressed


def test_a_capture_path_of_maximum_length_is_compared_completely(
    capture: Callable[[Capture], None], listener: Listener
) -> None:
    path = f"/no/{uuid.uuid4()}/".ljust(LONGEST, "p")
    capture(Capture(paths=(path,)))
    fail_to_exec(path[:-1] + "q")
    fail_to_exec(path + "q")
    fail_to_exec(path)
    capture(Capture())
    listener.catch_up()
    assert [failure.path for failure in listener.failures if (failure.path or "")[:40] == path[:40]] == [path]


def test_a_failure_whose_path_cannot_be_read_is_not_suppressed(
    zoo: Zoo, listener: Listener, capture: Callable[[Capture], None]
) -> None:
    capture(Capture(path_prefixes=("/somewhere/else",)))
    with subprocess.Popen([zoo / "unmappable"]) as process:
        pass
    assert process.returncode < 0, "it is killed after the point of no return"
    listener.source.set_capture(None)
    assert [record.killed_by for record in listener.records_of(process.pid, time.time_ns())] == ["SIGSEGV"]
