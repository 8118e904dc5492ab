"""The decision whether a caller may execute a file agrees with the kernel's."""

from __future__ import annotations

import errno
import os
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execwhy.bpf.events.record import ExecFailure
from execwhy.tui.why.causes import access, diagnose
from execwhy.tui.why.scene.credentials import CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, Credentials, may_execute
from tests.unit.tui.why.failing import a_failure

OWNER, GROUP, STRANGER = 1000, 2000, 3000
REGULAR, DIRECTORY = 0o100000, 0o040000


def inode(mode: int, kind: int = REGULAR) -> os.stat_result:
    return os.stat_result((kind | mode, 1, 1, 1, OWNER, GROUP, 0, 0, 0, 0))


def who(
    fsuid: int = STRANGER, fsgid: int = STRANGER, groups: tuple[int, ...] | None = (), capabilities: int = 0
) -> Credentials:
    return Credentials(fsuid, fsgid, groups, capabilities)


def acl(*entries: tuple[int, int, int]) -> bytes:
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


USER_OBJ, USER, GROUP_OBJ, NAMED_GROUP, MASK, OTHER = 1, 2, 4, 8, 16, 32


@pytest.mark.parametrize(
    ("mode", "caller", "allowed"),
    [
        (0o100, who(OWNER), True),
        (0o011, who(OWNER), False),
        (0o010, who(fsgid=GROUP), True),
        (0o010, who(groups=(GROUP,)), True),
        (0o101, who(groups=(GROUP,)), False),
        (0o001, who(), True),
        (0o110, who(), False),
        (0o010, who(groups=None), None),
        (0o011, who(groups=None), True),
    ],
)
def test_the_first_matching_permission_bits_decide(
    mode: int, caller: Credentials, allowed: bool | None
) -> None:
    assert may_execute(caller, inode(mode), None).allowed is allowed


@pytest.mark.parametrize("caller", [who(OWNER), who(fsgid=GROUP), who(), who(groups=None)])
def test_a_file_without_execute_bits_is_refused_to_everyone(caller: Credentials) -> None:
    verdict = may_execute(caller, inode(0o644), None)
    assert (verdict.allowed, verdict.by, verdict.class_) == (False, "No execute bit is set.", "a")


def test_a_file_without_execute_bits_is_reported_as_such(tmp_path: Path) -> None:
    path = tmp_path / "job"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o644)
    diagnosis = diagnose(a_failure(str(path), errno.EACCES, capabilities=0))
    assert "by anyone" in diagnosis.brief
    assert "No execute bit is set." in diagnosis.evidence


@pytest.mark.parametrize(
    ("mode", "kind", "capability", "allowed"),
    [
        (0o100, REGULAR, CAP_DAC_OVERRIDE, True),
        (0o644, REGULAR, CAP_DAC_OVERRIDE, False),
        (0o100, REGULAR, CAP_DAC_READ_SEARCH, False),
        (0o600, DIRECTORY, CAP_DAC_OVERRIDE, True),
        (0o600, DIRECTORY, CAP_DAC_READ_SEARCH, True),
    ],
)
def test_capabilities_override_what_they_may(mode: int, kind: int, capability: int, allowed: bool) -> None:
    assert may_execute(who(capabilities=capability), inode(mode, kind), None).allowed is allowed


def test_a_capability_counts_only_where_the_owner_is_in_its_user_namespace() -> None:
    ids = ((STRANGER, 10),)
    root_of_container = Credentials(STRANGER, STRANGER, (), CAP_DAC_OVERRIDE, ids, is_foreign=True)
    verdict = may_execute(root_of_container, inode(0o700), None)
    assert (verdict.allowed, verdict.by_namespace) == (False, True), "at the exec it may have been another"
    assert not may_execute(root_of_container, inode(0o755), None).by_namespace
    assert not may_execute(root_of_container, inode(0o600), None).by_namespace


@pytest.mark.parametrize(("gids", "allowed"), [(((GROUP, 1),), True), (((STRANGER, 10),), False)])
def test_a_capability_counts_only_where_the_group_is_in_its_user_namespace_too(
    gids: tuple[tuple[int, int], ...], allowed: bool
) -> None:
    caller = Credentials(STRANGER, STRANGER, (), CAP_DAC_OVERRIDE, ((OWNER, 1),), gids, is_foreign=True)
    assert may_execute(caller, inode(0o700), None).allowed is allowed
    assert may_execute(caller, inode(0o700, DIRECTORY), None).allowed is allowed


@pytest.mark.parametrize(
    ("entries", "caller", "allowed"),
    [
        ([(USER, 4, STRANGER), (GROUP_OBJ, 5, 0), (MASK, 7, 0), (OTHER, 5, 0)], who(), False),
        ([(USER, 5, STRANGER), (GROUP_OBJ, 0, 0), (MASK, 7, 0), (OTHER, 0, 0)], who(), True),
        ([(USER, 5, STRANGER), (GROUP_OBJ, 0, 0), (MASK, 4, 0), (OTHER, 5, 0)], who(), False),
        ([(GROUP_OBJ, 4, 0), (NAMED_GROUP, 5, 7), (MASK, 5, 0), (OTHER, 0, 0)], who(groups=(7, GROUP)), True),
        ([(GROUP_OBJ, 4, 0), (MASK, 5, 0), (OTHER, 5, 0)], who(groups=(GROUP,)), False),
        ([(GROUP_OBJ, 4, 0), (MASK, 5, 0), (OTHER, 5, 0)], who(), True),
        ([(GROUP_OBJ, 4, 0), (NAMED_GROUP, 5, 7), (MASK, 5, 0), (OTHER, 0, 0)], who(groups=None), None),
    ],
)
def test_an_acl_decides_before_the_group_bits(
    entries: list[tuple[int, int, int]], caller: Credentials, allowed: bool | None
) -> None:
    assert may_execute(caller, inode(0o775), acl((USER_OBJ, 7, 0), *entries)).allowed is allowed


def test_an_acl_does_not_count_for_the_owner() -> None:
    denying = acl((USER_OBJ, 7, 0), (USER, 0, OWNER), (GROUP_OBJ, 0, 0), (OTHER, 0, 0))
    assert may_execute(who(OWNER), inode(0o775), denying).allowed is True


@given(st.binary(max_size=64))
def test_any_bytes_can_be_read_as_an_acl(raw: bytes) -> None:
    may_execute(who(), inode(0o775), raw)


@pytest.fixture
def open_to_all(tmp_path: Path) -> Path:
    """Yield a directory that everyone can reach: only what lies in it can be forbidden."""
    for directory in (tmp_path, *tmp_path.parents):
        if directory.stat().st_uid == os.getuid() and not directory.stat().st_mode & 0o001:
            directory.chmod(directory.stat().st_mode | 0o011)
    return tmp_path


def a_stranger(path: Path, groups: tuple[int, ...] | None = ()) -> ExecFailure:
    return a_failure(str(path), errno.EACCES, fsuid=54321, fsgid=54321, groups=groups, capabilities=0)


def a_script(path: Path, mode: int) -> Path:
    path.write_text("#!/bin/sh\n")
    path.chmod(mode)
    return path


def test_the_refused_user_is_named_with_the_mode(open_to_all: Path) -> None:
    diagnosis = diagnose(a_stranger(a_script(open_to_all / "job", 0o744)))
    assert diagnosis.code == "no-execute-permission"
    assert diagnosis.brief == "not executable for uid 54321 (rwxr--r--)"


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        ((), "The permission bits for others apply."),
        ((os.getgid(),), "The permission bits for the group apply."),
    ],
)
def test_the_bits_that_apply_are_named(groups: tuple[int, ...], said: str, open_to_all: Path) -> None:
    job = a_script(open_to_all / "job", 0o700)
    os.chown(job, -1, os.getgid())
    assert said in diagnose(a_stranger(job, groups)).evidence


def test_an_unread_group_makes_the_cause_uncertain(open_to_all: Path) -> None:
    diagnosis = diagnose(a_stranger(a_script(open_to_all / "job", 0o710), groups=None))
    assert not diagnosis.certain


def test_an_unsearchable_directory_is_named_before_its_content(open_to_all: Path) -> None:
    (open_to_all / "closed").mkdir(mode=0o700)
    diagnosis = diagnose(a_stranger(open_to_all / "closed/no/such/file"))
    assert diagnosis.code == "unsearchable-directory"
    assert f'"{open_to_all}/closed"' in diagnosis.summary
    assert diagnosis.summary.endswith(", so it cannot execute anything in it.")


@pytest.mark.parametrize(("setting", "code"), [("1\n", "protected-link"), ("0\n", None)])
def test_a_foreign_link_in_a_sticky_directory_is_protected_if_the_system_says_so(
    setting: str, code: str | None, open_to_all: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "read_proc", {"/proc/sys/fs/protected_symlinks": setting}.get)
    sticky = open_to_all / "sticky"
    sticky.mkdir()
    sticky.chmod(0o1777)
    a_script(open_to_all / "job", 0o755)
    (sticky / "link").symlink_to(open_to_all / "job")
    owned_by_another = os.lstat(sticky / "link").st_uid != sticky.stat().st_uid
    if not owned_by_another and os.getuid() == 0:
        os.lchown(sticky / "link", 12345, 12345)
        owned_by_another = True
    diagnosis = diagnose(a_stranger(sticky / "link"))
    assert (diagnosis.code == code) is (code is not None and owned_by_another)
