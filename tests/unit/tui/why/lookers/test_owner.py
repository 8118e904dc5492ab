"""Nobody is many: subordinate ids are one user, and namespaces without end a bounded number of groups."""

from __future__ import annotations

import ctypes
import errno
import shutil
import subprocess
from pathlib import Path

import pytest

from execwhy.bpf.caller.namespaces import own_mount_ns
from execwhy.bpf.events.users import SubordinateIds
from execwhy.bpf.program import limits
from execwhy.bpf.program import text as program
from execwhy.tui.why.lookers.grouping import NAMESPACE_GROUPS, owner_of
from tests.unit.tui.why.failing import a_failure


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


@pytest.mark.parametrize(
    ("uid", "user"),
    [
        (1000, 1000),
        (100_005, 1000),
        (300_007, 1000),
        (165_540, 1001),
        (400_001, 400_000),
        (500_001, 500_000),
        (600_001, 600_001),
    ],
    ids=["itself", "by name", "second range", "by number", "unknown name", "root's", "nobody's"],
)
def test_subordinate_ids_count_as_the_user_whose_they_are(uid: int, user: int) -> None:
    accounts = {"root": 0, "alice": 1000}
    lines = ["alice:100000:65536", "1001:165536:65536", "alice:300000:10", "gone:400000:10", "root:500000:9"]
    assert SubordinateIds(lines, accounts).user_of(uid) == user


@pytest.mark.parametrize(
    ("lines", "span"),
    [
        ([], (0, 0)),
        (["alice:100000:65536", "bob:165536:65536"], (100_000, 231_072)),
        (["bob:165536:65536", "carol:900000:65536", "alice:100000:65536"], (100_000, 231_072)),
        (["alice:100000:10", "carol:900000:65536"], (900_000, 965_536)),
        (["alice:100000:65536", "alice:110000:10"], (100_000, 165_536)),
        (["all:1:4294967295"], (1, 4_294_967_295)),
    ],
)
def test_the_kernel_program_knows_the_longest_run_of_them(lines: list[str], span: tuple[int, int]) -> None:
    assert SubordinateIds(lines).span == span


def test_subordinate_ids_have_one_share_of_the_ring(tmp_path: Path) -> None:
    """The function is the kernel program's own, compiled for this machine."""
    text = Path(program.__file__).with_name("users.c").read_text(encoding="utf-8")
    function = text[text.index("static __always_inline u32 user_of(") :]
    function = function[: function.index("\n}\n") + 3]
    source, library = tmp_path / "users.c", tmp_path / "users.so"
    source.write_text(
        "typedef unsigned int u32;\n#define __always_inline inline\n"
        "#define FIRST_SUBORDINATE 100000\n#define AFTER_SUBORDINATE 231072\n"
        f"#define SUBORDINATES {limits.SUBORDINATES}\n{function}"
        "u32 exported(u32 uid) { return user_of(uid); }\n"
    )
    compiler = shutil.which("cc")
    assert compiler, "install a C compiler: this test runs a function of the kernel program's"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
    user_of = ctypes.CDLL(str(library)).exported
    user_of.restype = ctypes.c_uint32
    for uid in (0, 1000, 99_999, 100_000, 165_535, 165_536, 231_071, 231_072, 0xFFFFFFFF):
        known = SubordinateIds(["alice:100000:65536", "bob:165536:65536"]).user_of(uid)
        assert user_of(ctypes.c_uint32(uid)) == known


def test_namespaces_without_end_are_a_bounded_number_of_groups() -> None:
    first = 4_026_531_840
    owners = {owner_of(a_failure("/x", errno.ENOENT, uid=1, mount_ns=first + each)) for each in range(10_000)}
    assert NAMESPACE_GROUPS <= len(owners) <= NAMESPACE_GROUPS + 1


def test_our_own_namespace_is_in_no_group_with_others() -> None:
    assert owner_of(a_failure("/x", errno.ENOENT, mount_ns=own_mount_ns()))[1] == own_mount_ns()
    assert owner_of(a_failure("/x", errno.ENOENT, mount_ns=own_mount_ns() + 1))[1] != own_mount_ns()
