from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from execwhy.bpf.events.source import Capture
from execwhy.bpf.maps.counters import NO_BUFFER, PROBE_MISSED, RING_FULL, CaptureMap, CounterMap
from execwhy.bpf.maps.misses import TABLE_FULL
from execwhy.bpf.program import layout, limits


@pytest.fixture
def fds() -> Iterator[tuple[int, int]]:
    made = os.memfd_create("a"), os.memfd_create("b")
    for fd in made:
        os.ftruncate(fd, 2 * os.sysconf("SC_PAGE_SIZE"))
    yield made
    for fd in made:
        os.close(fd)


def in_force(fds: tuple[int, int]) -> tuple[int | bytes, ...]:
    size = layout.CAPTURE_STRUCT.size
    active = int.from_bytes(os.pread(fds[1], 8, 0), "little")
    return layout.CAPTURE_STRUCT.unpack(os.pread(fds[0], size, active * size))


def a_set(**values: int) -> bytes:
    """Return the counters of one CPU."""
    names = [field.name for field in layout.COUNTERS if field.name != "reserved"]
    assert set(values) <= set(names)
    return layout.COUNTERS_STRUCT.pack(*(values.get(name, 0) for name in names))


def test_counters_of_all_cpus_add_up(fds: tuple[int, int]) -> None:
    first = a_set(seen=10, recorded=7, suppressed=2, lost=1)
    os.pwrite(fds[0], first + a_set(seen=5, recorded=5, search_ends_lost=3, untracked=4, unjoined=6), 0)
    counters = CounterMap(fds[0], 2)
    found = counters.read()
    counters.close()
    assert (found.seen, found.recorded, found.suppressed, found.lost) == (15, 12, 2, 1)
    assert found.losses == {RING_FULL: 1}
    assert (found.untold, found.untracked) == (3, 4)
    assert found.incomplete == {TABLE_FULL: 6}


def test_each_kind_of_loss_has_its_name(fds: tuple[int, int]) -> None:
    os.pwrite(fds[0], a_set(seen=9, recorded=2, lost=7, crowded=3, unprobed=1), 0)
    counters = CounterMap(fds[0], 1)
    assert counters.read().losses == {RING_FULL: 3, NO_BUFFER: 3, PROBE_MISSED: 1}
    counters.close()


def test_reading_counters_during_an_update_keeps_the_previous_values(fds: tuple[int, int]) -> None:
    counters = CounterMap(fds[0], 1)
    os.pwrite(fds[0], a_set(seen=10, recorded=10), 0)
    assert counters.read().seen == 10
    os.pwrite(fds[0], a_set(seen=10, recorded=11), 0)
    assert (counters.read().seen, counters.read().recorded) == (10, 10)
    os.pwrite(fds[0], a_set(seen=11, recorded=11), 0)
    assert counters.read().seen == 11
    counters.close()


class TwoMisses:
    """Programs that the kernel has skipped."""

    def of_events(self) -> dict[str, int]:
        return {"an event": 2}

    def of_facts(self) -> dict[str, int]:
        return {"a fact": 5}


def test_runs_that_the_kernel_skipped_count_as_seen_and_lost(fds: tuple[int, int]) -> None:
    os.pwrite(fds[0], a_set(seen=10, recorded=10), 0)
    counters = CounterMap(fds[0], 1, TwoMisses())
    found = counters.read()
    assert (found.seen, found.recorded, found.lost) == (12, 10, 2)
    assert (found.losses, found.incomplete) == ({"an event": 2}, {"a fact": 5})
    counters.close()


def test_a_new_capture_filter_is_written_beside_the_active_one(fds: tuple[int, int]) -> None:
    capture = CaptureMap(*fds)
    capture.set(Capture(uid_ranges=((1, 9),)))
    first = os.pread(fds[1], 8, 0)
    assert in_force(fds)[:2] == (1, 0)
    capture.set(Capture(paths=("/bin/x",), path_prefixes=("/opt/",)))
    assert os.pread(fds[1], 8, 0) != first
    ranges, paths, excluded, *rest = in_force(fds)
    lengths = rest[2 * limits.MAX_UID_RANGES :][:2]
    assert (ranges, paths, excluded, lengths) == (0, 2, 0, [7, 5])
    text = rest[-1]
    assert isinstance(text, bytes)
    assert text.startswith(b"/bin/x\0")
    assert text[limits.CAPTURE_PATH_SIZE :].startswith(b"/opt/")
    capture.set(Capture(path_prefixes=("/opt/",), excluded_paths=("/opt/x",), excluded_prefixes=("/a/",)))
    _, paths, excluded, *rest = in_force(fds)
    text = rest[-1]
    assert isinstance(text, bytes)
    assert (paths, excluded, rest[2 * limits.MAX_UID_RANGES :][:3]) == (3, 2, [7, 3, 5])
    assert text.startswith(b"/opt/x\0"), "what is excluded comes first"
    capture.set(None)
    assert in_force(fds)[:2] == (0, 0)
    capture.close()


@pytest.mark.parametrize(
    "capture",
    [
        Capture(uid_ranges=((1, 1),) * (limits.MAX_UID_RANGES + 1)),
        Capture(paths=("/x",) * (limits.MAX_CAPTURE_PATHS + 1)),
        Capture(path_prefixes=("/" + "x" * limits.CAPTURE_PATH_SIZE,)),
        Capture(paths=("/x",) * limits.MAX_CAPTURE_PATHS, excluded_paths=("/y",)),
        Capture(excluded_prefixes=("/" + "x" * limits.CAPTURE_PATH_SIZE,)),
    ],
)
def test_a_filter_that_does_not_fit_is_refused_and_the_old_one_stays(
    fds: tuple[int, int], capture: Capture
) -> None:
    made = CaptureMap(*fds)
    made.set(Capture(uid_ranges=((3, 4),)))
    before = in_force(fds)
    with pytest.raises(ValueError, match="the kernel program"):
        made.set(capture)
    assert in_force(fds) == before
    made.close()
