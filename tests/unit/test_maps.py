from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from bpf import layout
from bpf.maps import RING_FULL, CaptureMap, CounterMap
from bpf.source import Capture


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


def test_counters_of_all_cpus_add_up(fds: tuple[int, int]) -> None:
    pack = layout.COUNTERS_STRUCT.pack
    os.pwrite(fds[0], pack(10, 7, 2, 1, 0, 0, 0) + pack(5, 5, 0, 0, 0, 3, 4), 0)
    counters = CounterMap(fds[0], 2)
    found = counters.read()
    counters.close()
    assert (found.seen, found.recorded, found.suppressed, found.lost) == (15, 12, 2, 1)
    assert found.losses == {RING_FULL: 1}
    assert (found.untold, found.untracked) == (3, 4)


def test_counters_that_do_not_add_up_are_told_and_not_mended(fds: tuple[int, int]) -> None:
    os.pwrite(fds[0], layout.COUNTERS_STRUCT.pack(10, 11, 0, 0, 0, 0, 0), 0)
    counters = CounterMap(fds[0], 1)
    with pytest.raises(ValueError, match="do not add up"):
        counters.read()
    counters.close()


def test_a_capture_filter_is_written_beside_the_one_in_force(fds: tuple[int, int]) -> None:
    capture = CaptureMap(*fds)
    capture.set(Capture(uid_ranges=((1, 9),)))
    first = os.pread(fds[1], 8, 0)
    assert in_force(fds)[:2] == (1, 0)
    capture.set(Capture(paths=("/bin/x",), path_prefixes=("/opt/",)))
    assert os.pread(fds[1], 8, 0) != first
    ranges, paths, *rest = in_force(fds)
    lengths = rest[2 * layout.MAX_UID_RANGES :][:2]
    assert (ranges, paths, lengths) == (0, 2, [7, 5])
    text = rest[-1]
    assert isinstance(text, bytes)
    assert text.startswith(b"/bin/x\0")
    assert text[layout.CAPTURE_PATH_SIZE :].startswith(b"/opt/")
    capture.set(None)
    assert in_force(fds)[:2] == (0, 0)
    capture.close()


@pytest.mark.parametrize(
    "capture",
    [
        Capture(uid_ranges=((1, 1),) * (layout.MAX_UID_RANGES + 1)),
        Capture(paths=("/x",) * (layout.MAX_CAPTURE_PATHS + 1)),
        Capture(path_prefixes=("/" + "x" * layout.CAPTURE_PATH_SIZE,)),
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
