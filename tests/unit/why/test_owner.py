"""Nobody is many: subordinate ids are one user, and namespaces without end a bounded number of groups."""

from __future__ import annotations

import errno

import pytest

from bpf.users import SubordinateIds
from bpf.vantage import own_mount_ns
from tests.unit.why.failing import a_failure
from tui.why.lookers.owner import NAMESPACE_GROUPS, owner_of


@pytest.mark.parametrize(
    ("uid", "user"),
    [
        (1000, 1000),
        (99_999, 99_999),
        (100_000, 100_000),
        (100_001, 100_000),
        (165_535, 100_000),
        (165_536, 165_536),
        (231_071, 165_536),
        (231_072, 231_072),
        (300_007, 100_000),
    ],
)
def test_a_user_with_subordinate_ids_is_one_user(uid: int, user: int) -> None:
    lines = ["alice:100000:65536", "bob:165536:65536", "# nobody", "alice:300000:10", "x:y:z", "", "a:1"]
    assert SubordinateIds(lines).user_of(uid) == user


def test_namespaces_without_end_are_a_bounded_number_of_groups() -> None:
    first = 4_026_531_840
    owners = {owner_of(a_failure("/x", errno.ENOENT, uid=1, mount_ns=first + each)) for each in range(10_000)}
    assert NAMESPACE_GROUPS <= len(owners) <= NAMESPACE_GROUPS + 1


def test_our_own_namespace_is_in_no_group_with_others() -> None:
    assert owner_of(a_failure("/x", errno.ENOENT, mount_ns=own_mount_ns()))[1] == own_mount_ns()
    assert owner_of(a_failure("/x", errno.ENOENT, mount_ns=own_mount_ns() + 1))[1] != own_mount_ns()
