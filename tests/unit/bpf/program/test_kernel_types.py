"""BTF, the header tree and the layout: what the BPF program is compiled from."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from execwhy.bpf.program import btf, headers, layout


def test_offsets_are_those_of_the_running_kernel() -> None:
    found = btf.offsets()
    # Fixed by the order of struct path's members, and by struct upid's size.
    assert (found["AT_path_mnt"], found["AT_path_dentry"]) == (0, 8)
    assert found["SIZE_upid"] == 16


def test_members_of_anonymous_and_nested_structs_are_found() -> None:
    with btf.Btf() as types:
        assert types.offset("task_struct.thread_info.status") > types.offset("task_struct.thread_info")
        assert types.offset("mm_struct.arg_end") == types.offset("mm_struct.arg_start") + 8


@pytest.mark.parametrize("member", ["task_struct.no_such_member", "no_such_struct.x"])
def test_a_missing_member_is_reported_in_one_sentence(member: str) -> None:
    with btf.Btf() as types, pytest.raises(btf.BtfError, match=r"no .*\.$"):
        types.offset(member)


def test_the_header_tree_is_private_and_is_removed() -> None:
    with headers.header_tree() as root:
        assert os.stat(root).st_mode & 0o777 == 0o700
        assert Path(root, "include/linux/kconfig.h").exists()
    assert not os.path.exists(root)


def test_the_header_tree_is_removed_after_an_error() -> None:
    with pytest.raises(RuntimeError), headers.header_tree() as root:
        raise RuntimeError
    assert not os.path.exists(root)


@pytest.mark.parametrize(
    ("release", "version"),
    [("6.18.44-fc", (6, 18, 44)), ("5.10.0-46-amd64", (5, 10, 0)), ("6.12", (6, 12, 0)), ("x", (0, 0, 0))],
)
def test_a_kernel_release_is_parsed(release: str, version: tuple[int, int, int]) -> None:
    assert headers.kernel_version(release) == version


def test_c_and_python_agree_on_every_struct(tmp_path: Path) -> None:
    compiler = shutil.which("cc")
    assert compiler, "install a C compiler: this test asks it for the sizes"
    source = tmp_path / "layout.c"
    source.write_text(headers.TYPES.replace("#pragma once", "") + layout.c_declarations(8192, 4096))
    subprocess.run([compiler, "-fsyntax-only", "-Wall", "-Werror", source], check=True)
