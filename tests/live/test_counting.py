"""Nothing is lost silently: every exec seen is recorded, suppressed by the filter, or counted as lost."""

from __future__ import annotations

import functools
import itertools
import os
import subprocess
import time
import uuid
from collections import Counter
from collections.abc import Iterator

import pytest

from execwhy.bpf.events.source import Capture
from execwhy.bpf.read.raw_queue import RawQueue
from execwhy.bpf.read.reader import DEFAULT_ARGS_BYTES, DEFAULT_ENV_BYTES, KernelSource
from tests.live.listener import PLAN, Listener, add_up, fail_to_exec
from tests.live.zoo import Zoo

THREADS = 8
TIMES = 250


def storm(zoo: Zoo, path: str, marker: str) -> list[int]:
    """Let many threads fail at once; returns their tids."""
    command = [zoo / "storm", path, marker, str(THREADS), str(TIMES)]
    return [int(tid) for tid in subprocess.run(command, check=True, capture_output=True).stdout.split()]


def test_many_threads_at_once_are_recorded_each_exec_once(zoo: Zoo, listener: Listener) -> None:
    lost = listener.counters.lost
    marker = str(uuid.uuid4())
    tids = storm(zoo, "/no/such/program", marker)
    records = listener.records_with(marker)
    assert listener.counters.lost == lost
    execs = Counter(record.arguments for record in records)
    assert execs == Counter(
        (marker, f"{thread}-{time}") for thread in range(THREADS) for time in range(TIMES)
    )
    for record in records:
        thread = int(str(record.arguments[1]).partition("-")[0])
        assert record.tid == tids[thread]
    assert len({record.pid for record in records}) == 1
    assert len({record.task for record in records}) == THREADS
    assert len({(record.task, record.tid) for record in records}) == THREADS


def test_the_execs_of_one_thread_come_in_order(zoo: Zoo, listener: Listener) -> None:
    marker = str(uuid.uuid4())
    storm(zoo, "/no/such/program", marker)
    last: dict[int, tuple[int, int]] = {}
    for record in listener.records_with(marker):
        this = record.timestamp, int(str(record.arguments[1]).partition("-")[2])
        assert last.get(record.tid, (0, -1)) < this
        last[record.tid] = this


def test_a_storm_of_one_failure_is_handed_over_in_bursts_with_each_exec_at_its_own_time(zoo: Zoo) -> None:
    path, times = f"/execwhy-{uuid.uuid4()}", 20_000
    source = KernelSource(plan=PLAN, capture=Capture(paths=(path,)), ring_bytes=32 << 20)
    listener = Listener(source)
    listener.start()
    try:
        began = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        subprocess.run([zoo / "loop", "fail", str(times), path], check=True, stdout=subprocess.DEVNULL)
        ended = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        listener.until(lambda: len(listener.failures) == times, "the storm")
    finally:
        source.close()
    listener.take()
    assert listener.losses == [] and source.status().counters.recorded == times
    moments = [failure.timestamp - source.status().origin.boot_time for failure in listener.failures]
    assert began < moments[0] and moments[-1] < ended
    assert all(before < after for before, after in itertools.pairwise(moments))
    assert {failure.path for failure in listener.failures} == {path}
    assert listener.in_bursts > times / 2


def test_the_counters_add_up_at_every_moment_of_a_storm(zoo: Zoo, listener: Listener) -> None:
    command = [zoo / "storm", "/no/such/program", "counted", str(THREADS), str(TIMES * 4)]
    before = listener.counters.seen
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            assert add_up(listener.counters)
            listener.take()
    listener.catch_up()
    assert add_up(listener.counters)
    assert listener.counters.seen >= before + THREADS * TIMES * 4


def test_the_number_of_records_equals_the_counter(zoo: Zoo, listener: Listener) -> None:
    storm(zoo, "/no/such/program", "arrives")
    listener.catch_up()

    def all_arrived() -> bool:
        # Execs of other programs fail all the time: wait for a moment without any.
        before = listener.counters
        listener.take()
        return before == listener.counters and before.recorded == len(listener.failures)

    listener.until(all_arrived, "all records")


@pytest.fixture
def one_cpu() -> Iterator[None]:
    """Everything that the test does happens on one CPU, so that its events have one order."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    yield
    os.sched_setaffinity(0, allowed)


def test_records_that_do_not_fit_the_ring_are_counted_and_reported_in_order(one_cpu: None) -> None:
    here = f"/execwhy-{uuid.uuid4()}"
    source = KernelSource(
        plan=PLAN,
        max_args_bytes=DEFAULT_ARGS_BYTES,
        max_env_bytes=DEFAULT_ENV_BYTES,
        capture=Capture(path_prefixes=(here,)),
        ring_bytes=4096,
    )
    listener = Listener(source)
    try:
        listener.start()
        fail_to_exec(f"{here}/first")
        for _ in range(7):
            fail_to_exec(f"{here}/too-large", "x" * (DEFAULT_ARGS_BYTES - 100))
        fail_to_exec(f"{here}/last")
        listener.until(
            lambda: any(failure.path == f"{here}/last" for failure in listener.failures), "the last record"
        )
        listener.until(lambda: sum(loss.count for loss in listener.losses) >= 7, "the losses")
        counters = listener.counters
        assert [failure.path for failure in listener.failures] == [f"{here}/first", f"{here}/last"]
        assert (counters.recorded, counters.lost) == (2, 7)
        assert add_up(counters)
        assert sum(loss.count for loss in listener.losses) == 7
        first, last = listener.failures
        for loss in listener.losses:
            assert first.timestamp <= loss.timestamp
            assert loss.reason in counters.losses
        assert listener.losses[0].timestamp <= last.timestamp
    finally:
        source.close()


def test_waiting_records_are_handed_over_when_a_source_with_a_full_queue_is_closed(
    zoo: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("execwhy.bpf.read.reader.RawQueue", functools.partial(RawQueue, 20_000))
    source = KernelSource(plan=PLAN, ring_bytes=64 * 1024)
    listener = Listener(source)
    listener.start()
    storm(zoo, "/no/such/program", str(uuid.uuid4()))
    source.close()
    listener.take()
    counters = source.status().counters
    assert counters.lost > 0, "the queue was to overflow"
    assert len(listener.failures) == counters.recorded
    assert sum(loss.count for loss in listener.losses) == counters.lost
