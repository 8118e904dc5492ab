"""Who is next: whoever has used least time, however much others have waiting."""

from __future__ import annotations

import errno
import tracemalloc
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execwhy.bpf.events.record import ExecFailure
from execwhy.bpf.program import layout
from execwhy.bpf.read.decode import decode
from execwhy.tui.why.lookers.fair_queue import _MOST_USERS, MAX_BYTES, FairQueue, Group
from execwhy.tui.why.lookers.grouping import Owner, cause_key, owner_of
from tests.unit.raw_record import element, raw_record, walked
from tests.unit.tui.why.failing import a_failure


def put(queue: FairQueue, number: int, **facts: Any) -> None:
    failure = a_failure(f"/{number}", errno.ENOENT, **facts)
    queue.add((owner_of(failure), number), number, failure)


def taken(queue: FairQueue) -> Group:
    group = queue.take()
    assert group is not None
    return group


def test_users_take_turns_by_the_time_that_they_use() -> None:
    queue = FairQueue()
    for number in range(100):
        put(queue, number, uid=1)
    for number in range(100, 103):
        put(queue, number, uid=2)
    users: list[int] = []
    for _ in range(10):
        group = taken(queue)
        users.append(group.owner[0])
        queue.charge(group.owner, 1.0 if group.owner[0] == 1 else 0.3)
    assert users.count(2) == 3
    assert users.index(2) <= 1


def test_who_comes_later_has_saved_nothing_up_and_who_used_more_still_owes() -> None:
    queue = FairQueue()
    put(queue, 0, uid=1)
    queue.charge(taken(queue).owner, 100.0)
    put(queue, 1, uid=1)
    put(queue, 2, uid=2)
    assert taken(queue).owner[0] == 2
    queue.charge((2, None), 1.0)
    put(queue, 3, uid=2)
    assert taken(queue).owner[0] == 2, "it has used a second, and the other one a hundred"


def test_namespaces_of_one_user_share_what_the_user_has() -> None:
    queue = FairQueue()
    for number in range(10):
        put(queue, number, uid=1, mount_ns=1)
    put(queue, 10, uid=1, mount_ns=2)
    put(queue, 11, uid=2, mount_ns=3)
    order = []
    for _ in range(12):
        group = taken(queue)
        order.append(group.owner)
        queue.charge(group.owner, 1.0)
    assert {order[0], order[1], order[2]} == {(1, 1), (1, 2), (2, 3)}


def test_a_namespace_with_slow_looks_does_not_starve_the_others_of_its_user() -> None:
    """Beside another user's looks, root's in the host had one turn in a thousand, and a container's all."""
    queue = FairQueue()
    seconds: dict[Owner, float] = {(0, 1): 0.25, (0, 2): 0.001, (666, 3): 0.25}
    for number in range(0, 300, 3):
        put(queue, number, uid=0, mount_ns=1)
        put(queue, number + 1, uid=0, mount_ns=2)
        put(queue, number + 2, uid=666, mount_ns=3)
    looked_at: Counter[Owner] = Counter()
    for _ in range(200):
        group = taken(queue)
        looked_at[group.owner] += 1
        queue.charge(group.owner, seconds[group.owner])
    assert looked_at[0, 2] == 100


def test_what_namespaces_have_used_is_forgotten_only_of_users_that_do_not_wait() -> None:
    queue = FairQueue()
    put(queue, 0, uid=1, mount_ns=1)
    put(queue, 1, uid=1, mount_ns=2)
    queue.charge((1, 1), 100.0)
    for uid in range(2, 2000):
        queue.charge((uid, 1), 0.1)
    assert len(queue._lane_shares) <= _MOST_USERS
    assert taken(queue).owner == (1, 2)


def test_a_user_of_many_namespaces_loses_its_own_failures_first() -> None:
    """It has little waiting in each of its namespaces, and most of all in all of them."""
    dropped: list[Group] = []
    queue = FairQueue(on_drop=dropped.append)
    for number in range(12_000):
        put(queue, number, uid=666, mount_ns=number % 250)
    assert queue.weight + dropped[0].weight > MAX_BYTES, "it fills the queue"
    for number in range(12_000, 12_200):
        put(queue, number, uid=1000, mount_ns=1000)
    assert {group.owner[0] for group in dropped} == {666}
    assert len({group.owner for group in dropped}) > 200, "each of its namespaces in turn"


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 5)), max_size=60))
def test_whatever_is_put_in_comes_out_once(failures: list[tuple[int, int, int]]) -> None:
    queue = FairQueue()
    for number, (uid, namespace, path) in enumerate(failures):
        failure = a_failure(f"/{path}", errno.ENOENT, uid=uid, mount_ns=namespace)
        queue.add((owner_of(failure), path), number, failure)
    came: list[int] = []
    while (group := queue.take()) is not None:
        came += group.ids.tolist()
        queue.charge(group.owner, 0.1)
    assert sorted(came) == list(range(len(failures)))
    assert (len(queue), queue.weight) == (0, 0)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 100)), max_size=100))
def test_the_bound_holds_and_a_small_queue_is_left_alone(failures: list[tuple[int, int]]) -> None:
    queue = FairQueue(max_bytes=20_000)
    for number, (uid, path) in enumerate(failures):
        failure = a_failure(f"/{path}", errno.ENOENT, uid=uid)
        queue.add((owner_of(failure), path), number, failure)
        assert queue.weight <= 20_000


NUMBERS = (
    "timestamp", "started", "task", "pid", "tid", "capabilities", "stdin_inode", "uid", "gid", "euid", "egid",
    "fsuid", "fsgid", "mount_ns", "pid_ns", "duration", "inode_number", "ctime", "size", "device", "owner",
    "group",
)  # fmt: skip


@pytest.mark.parametrize("variables", [0, 10, 40])
def test_the_weight_is_about_the_memory_that_failures_take(variables: int) -> None:
    raws = []
    for number in range(1000):
        sections = {
            "path": b"/opt/program-%d\0" % number,
            "arguments": element(b"--number=%d" % number) * 3,
            "environment": b"".join(element(b"V_%d=%d" % (at, number)) for at in range(variables)),
            "cwd": walked(b"home", b"user", b"directory-%d" % number),
        }
        fields: dict[str, Any] = dict.fromkeys(NUMBERS, 1000 + number)
        raws.append(raw_record(sections, counts=(3, variables), bits=layout.BINARY_KNOWN, **fields))
    queue = FairQueue(max_bytes=1 << 30)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number, raw in enumerate(raws):
            failure, _ = decode(raw, 0)
            assert isinstance(failure, ExecFailure)
            queue.add(cause_key(failure), number, failure)
        memory = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert len(queue) == 1000
    assert 0.75 * memory < queue.weight < 1.5 * memory
