"""The whole process stays within its bound, whatever comes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from execwhy.bpf.events.record import ExecFailure
from execwhy.tui.model.history.resident import BESIDE, Resident, resident_bytes, trim
from execwhy.tui.model.history.store import History

ROOT: Final = Path(__file__).parents[5]
MB: Final = 1_000_000
BOUND: Final = 40 * MB


class Process:
    """Memory and time as a test sets them."""

    def __init__(self) -> None:
        self.resident = 50 * MB
        self.now = 0.0
        self.looks = self.releases = 0
        self.kept_by_the_allocator = 0

    def look(self) -> int:
        self.looks += 1
        return self.resident + self.kept_by_the_allocator

    def release(self) -> None:
        self.releases += 1
        self.kept_by_the_allocator = 0

    def watched(self) -> Resident:
        return Resident(self.look, lambda: self.now, self.release)


def test_the_history_may_take_its_bound_where_the_process_has_room() -> None:
    process = Process()
    watched = process.watched()
    assert watched.allowed(BOUND, 30 * MB) == BOUND
    assert process.releases == 0


def test_it_is_looked_at_once_a_second() -> None:
    process = Process()
    watched = process.watched()
    for _ in range(1000):
        watched.allowed(BOUND, 30 * MB)
    assert process.looks == 2
    process.now = 1.0
    watched.allowed(BOUND, 30 * MB)
    assert process.looks == 4


def test_what_the_allocator_kept_is_given_back_before_the_history_gives_way() -> None:
    process = Process()
    process.resident, process.kept_by_the_allocator = 130 * MB, 90 * MB
    assert process.watched().allowed(BOUND, 38 * MB) == BOUND
    assert process.releases == 1


def test_the_history_gives_way_by_what_is_too_much_and_gets_it_back() -> None:
    process = Process()
    watched = process.watched()
    process.resident = BOUND + BESIDE
    given = watched.allowed(BOUND, 38 * MB)
    assert 20 * MB < given < 38 * MB
    process.now += 1
    process.resident = BOUND + BESIDE - 10 * MB
    assert watched.allowed(BOUND, given) == given
    process.now += 1
    process.resident = 60 * MB
    assert watched.allowed(BOUND, given) == BOUND


def test_it_keeps_a_part_whatever_the_process_takes() -> None:
    process = Process()
    watched = process.watched()
    process.resident = 900 * MB
    for _ in range(20):
        process.now += 1
        assert watched.allowed(BOUND, BOUND // 4) == BOUND // 4


def test_a_history_evicts_what_the_process_has_no_room_for_and_counts_it() -> None:
    process = Process()
    history = History(max_bytes=4 * MB, process=process.watched())
    events = [ExecFailure(timestamp=n, path=f"/{n}", return_value=-2) for n in range(6000)]
    history.append(events)
    held = len(history)
    assert history.evicted == 6000 - held
    process.resident, process.now = 104 * MB + 500_000, 5.0
    history.append([ExecFailure(timestamp=9000, path="/last", return_value=-2)])
    assert history.nbytes <= MB
    assert len(history) < held
    assert history.evicted == 6001 - len(history)
    assert 6000 in history


def test_this_process_has_memory() -> None:
    trim()
    assert 10 * MB < resident_bytes() < 10_000 * MB


FEED: Final = """
from execwhy.bpf.read.decode import Decoder
from execwhy.bpf.events.record import Diagnosis, Look
from tests.unit.raw_record import element, raw_record
from execwhy.tui.model.history.store import History
from execwhy.tui.model.history.resident import resident_bytes

def records(start, count, variables):
    for n in range(start, start + count):
        name = b"/nonexistent/y%d" % n
        sections = {
            "path": name + b"\\0",
            "arguments": element(name) + element(b"a%d" % n),
            "environment": b"".join(element(b"V%d=%dx%d" % (i, n, i)) for i in range(variables)),
        }
        yield raw_record(sections, counts=(2, variables), timestamp=n, pid=n, tid=n, return_value=-2)

decoder, history, most, nbytes = Decoder(0), History(max_bytes=16 << 20), 0, 0
before = resident_bytes()
for start in range(0, COUNT, 200):
    came = [decoder.decode(raw)[0] for raw in records(start, 200, VARIABLES)]
    for event_id, record in zip(history.append(came), came):
        words = f"{record.path} does not exist."
        found = Diagnosis("missing-file", words, (f"stat: {words}",), None, True, words)
        history.set_looks([event_id], Look(found))
    most, nbytes = max(most, resident_bytes()), max(nbytes, history.nbytes)
print(most - before, nbytes, history.evicted)
"""


@pytest.mark.parametrize(("variables", "count"), [(40, 20_000), (400, 6_000)])
def test_different_failures_leave_no_memory_that_the_history_does_not_count(
    variables: int, count: int
) -> None:
    feed = FEED.replace("COUNT", str(count)).replace("VARIABLES", str(variables))
    done = subprocess.run(
        [sys.executable, "-c", feed], cwd=ROOT, check=True, capture_output=True, text=True, timeout=600
    )
    grown, nbytes, evicted = map(int, done.stdout.split())
    print(f"{grown / MB:.0f} MB more, {nbytes / MB:.0f} MB counted, {evicted:,} evicted")
    assert nbytes <= 16 << 20
    assert evicted > count // 8, "it is full, and goes on"
    assert grown <= 60 * MB


HEAPS = """
import ctypes, sys, threading
from execwhy.tui.model.history.resident import keep_heap_compact

if sys.argv[1:]:
    keep_heap_compact()
held, begun = [], threading.Barrier(4)

def hold():
    begun.wait()
    held.append([bytes(2000) for _ in range(1000)])

threads = [threading.Thread(target=hold) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc = ctypes.CDLL(None)
libc.fdopen.restype = ctypes.c_void_p
out = ctypes.c_void_p(libc.fdopen(1, b"w"))
libc.malloc_info(0, out)
libc.fflush(out)
"""


def test_all_threads_share_one_heap() -> None:
    def heaps(*arguments: str) -> int:
        command = [sys.executable, "-c", HEAPS, *arguments]
        done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=600)
        return done.stdout.count("<heap nr=")

    assert heaps("compact") == 1
    assert heaps() > 1, "the C library would have made more"
