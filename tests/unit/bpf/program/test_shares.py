"""Users' shares of the ring: the kernel program's own functions, compiled for this machine.

The ring is simulated: it holds the user of each record, in the order of writing.
"""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from execwhy.bpf.program import limits
from execwhy.bpf.program import text as program

RING = 1 << 20
RECORD = 600
ROOM = RECORD + 8
HOGS = range(1000, 1040)
OTHER = 5000

STAND_INS = f"""
#include <stdbool.h>
#include <stddef.h>
typedef unsigned int u32;
typedef unsigned long long u64;
#define __always_inline inline
#define FIRST_SUBORDINATE 0
#define AFTER_SUBORDINATE 0
#define SUBORDINATES {limits.SUBORDINATES}
#define SHARE_OF_ROOM {limits.SHARE_OF_ROOM}
#define RING_BYTES {RING}ULL
#define BPF_RINGBUF_HDR_SZ 8
#define EVENTS_MAP 0
#define BPF_PSEUDO_MAP_FD 1
#define RING_ALIGNMENT 8
enum {{ BPF_RB_CONS_POS = 2, BPF_RB_PROD_POS }};
struct share {{ u64 turn; u64 before; u64 after; u64 end; }};
static struct {{ bool is_there; struct share share; }} known[65536];
static struct share *find(u32 *user) {{ return known[*user].is_there ? &known[*user].share : NULL; }}
static void keep(u32 *user, struct share *share) {{
    known[*user].is_there = true;
    known[*user].share = *share;
}}
static struct {{
    struct share *(*lookup)(u32 *);
    void (*update)(u32 *, struct share *);
}} shares = {{find, keep}};
static u64 consumed, produced;
static u64 bpf_pseudo_fd(u64 type, u64 fd) {{ return 0; }}
static u64 query_ring(void *ring, u64 what) {{ return what == BPF_RB_CONS_POS ? consumed : produced; }}
static void lock_xadd(u64 *number, u64 more) {{ *number += more; }}
"""

CALLS = """
bool exceeds(u32 uid, u64 reader, u64 writer) {
    consumed = reader; produced = writer; return exceeds_share(uid);
}
void count(u32 uid, u64 size, u64 reader, u64 writer) {
    consumed = reader; produced = writer; count_share(uid, size);
}
void forget(void) { for (u32 user = 0; user < 65536; user++) known[user].is_there = false; }
"""


def function(name: str) -> str:
    """Return the text of one of the kernel program's functions."""
    parts = ("users.c", "output.c")
    text = "".join(Path(program.__file__).with_name(part).read_text(encoding="utf-8") for part in parts)
    # If a function exists twice, the last one is for the ring buffer.
    *_, last = re.finditer(rf"^static __always_inline \w+ {name}\(", text, re.MULTILINE)
    begin = last.start()
    return text[begin : text.index("\n}\n", begin) + 3]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    directory = tmp_path_factory.mktemp("shares")
    parts = map(function, ("user_of", "ring_position", "exceeds_share", "count_share"))
    (directory / "shares.c").write_text(STAND_INS + "".join(parts) + CALLS)
    compiler = shutil.which("cc")
    assert compiler, "install a C compiler: this test runs functions of the kernel program's"
    made = directory / "shares.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", made, directory / "shares.c"], check=True)
    library = ctypes.CDLL(str(made))
    library.exceeds.restype = ctypes.c_bool
    return library


class Ring:
    """A ring that users write to, each record of the same size."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        library.forget()
        self.read, self.written = 0, 0
        self.waiting: deque[int] = deque()
        self.refused: Counter[int] = Counter()
        self.full: Counter[int] = Counter()

    def _positions(self) -> Iterator[ctypes.c_uint64]:
        return map(ctypes.c_uint64, (self.read, self.written))

    def write(self, user: int) -> None:
        if self._library.exceeds(user, *self._positions()):
            self.refused[user] += 1
        elif self.written + ROOM - self.read > RING:
            self.full[user] += 1
        else:
            self.written += ROOM
            self.waiting.append(user)
            self._library.count(user, ctypes.c_uint64(RECORD), *self._positions())

    def take(self, records: int) -> None:
        for _ in range(min(records, len(self.waiting))):
            self.waiting.popleft()
            self.read += ROOM


@pytest.fixture
def ring(library: ctypes.CDLL) -> Ring:
    return Ring(library)


def test_a_single_user_leaves_a_quarter_of_the_ring(ring: Ring) -> None:
    for _ in range(2 * RING // ROOM):
        ring.write(HOGS[0])
    assert RING * 0.74 < len(ring.waiting) * ROOM < RING * 0.76
    assert ring.refused[HOGS[0]] and not ring.full


@pytest.mark.parametrize("hogs", [1, 2, 8, 40])
def test_a_new_user_finds_room_no_matter_how_many_fill_the_ring(ring: Ring, hogs: int) -> None:
    for _ in range(2 * RING // ROOM):
        for hog in HOGS[:hogs]:
            ring.write(hog)
    for _ in range(10):
        ring.write(OTHER)
    assert ring.waiting.count(OTHER) == 10
    assert not ring.full
    counts = [ring.waiting.count(hog) for hog in HOGS[:hogs]]
    # Records written before a quarter is waiting are not counted: that space is free for all.
    assert max(counts) - min(counts) <= 2 + RING / 4 / ROOM


def test_a_refused_user_can_write_again_once_records_are_read(ring: Ring) -> None:
    for _ in range(2 * RING // ROOM):
        ring.write(HOGS[0])
    ring.take(len(ring.waiting))
    refused = ring.refused[HOGS[0]]
    for _ in range(RING // 2 // ROOM):
        ring.write(HOGS[0])
    assert ring.refused[HOGS[0]] == refused


def test_a_user_is_not_refused_for_what_they_wrote_long_ago(ring: Ring) -> None:
    for _ in range(2 * RING // ROOM):
        ring.write(HOGS[0])
    ring.take(len(ring.waiting))
    for _ in range(2 * RING // ROOM):
        ring.write(HOGS[1])
    refused = ring.refused[HOGS[0]]
    ring.write(HOGS[0])
    assert ring.refused[HOGS[0]] == refused


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 12), st.integers(0, 400), st.integers(0, 400)), min_size=1, max_size=30)
)
def test_a_user_who_writes_now_and_then_is_never_refused(
    library: ctypes.CDLL, steps: list[tuple[int, int, int]]
) -> None:
    ring, written = Ring(library), 0
    for hogs, rounds, read in steps:
        for _ in range(rounds):
            for hog in HOGS[:hogs]:
                ring.write(hog)
        ring.write(OTHER)
        written += 1
        ring.take(read)
    assert not ring.refused[OTHER] and not ring.full[OTHER]
    assert written == len(steps)
