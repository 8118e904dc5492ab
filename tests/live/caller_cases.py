"""Cases of who the caller is and where it is."""

from __future__ import annotations

import os
from typing import Final

from tests.live import circumstances
from tests.live.cases import MISSING, Case, as_user, named
from tests.live.exec_child import (
    Exec,
    name_this_thread,
)
from tests.live.zoo import HOSTILE_NAME, Zoo


def _hostile_comm(zoo: Zoo) -> None:
    name_this_thread(b"\x1b[31m\n\xff[b]) R")


def _stdin_closed(zoo: Zoo) -> None:
    os.close(0)


def _other_ids(zoo: Zoo) -> None:
    os.setgroups([40_010, 40_030, 40_020])
    os.setresgid(40_101, 40_102, 40_103)
    os.setresuid(40_201, 40_202, 0)


def _hostile_directory(zoo: Zoo) -> None:
    directory = zoo / f"directory/{HOSTILE_NAME}"
    os.makedirs(directory, exist_ok=True)
    os.chdir(directory)


def _root_with_stdin_outside(zoo: Zoo) -> None:
    circumstances.open_stdin(zoo / "[bracket]")
    circumstances.change_root(zoo / "root", "/")


def _root_outside_of_which_it_works(zoo: Zoo) -> None:
    os.chdir(zoo.directory)
    os.chroot(zoo / "root")


CALLERS: Final = [
    Case("thread", "ENOENT", lambda zoo: Exec(MISSING), in_thread=True),
    Case("thread with a file", "EACCES", named("not-executable"), in_thread=True, binary="not-executable"),
    Case("many parents", "ENOENT", lambda zoo: Exec(MISSING), lambda zoo: circumstances.descend(12)),
    Case("another user", "ENOENT", lambda zoo: Exec(MISSING), as_user),
    Case("real, effective and saved ids that differ", "ENOENT", lambda zoo: Exec(MISSING), _other_ids),
    Case(
        "1,000 supplementary groups",
        "ENOENT",
        lambda zoo: Exec(MISSING),
        lambda zoo: os.setgroups(list(range(50_000, 51_000))),
    ),
    Case("hostile comm", "ENOENT", lambda zoo: Exec(MISSING), _hostile_comm),
    Case(
        "stdin null", "ENOENT", lambda zoo: Exec(MISSING), lambda zoo: circumstances.open_stdin("/dev/null")
    ),
    Case("stdin pipe", "ENOENT", lambda zoo: Exec(MISSING), lambda zoo: circumstances.stdin_is_pipe()),
    Case(
        "stdin file",
        "ENOENT",
        lambda zoo: Exec(MISSING),
        lambda zoo: circumstances.open_stdin(zoo / HOSTILE_NAME),
    ),
    Case(
        "stdin deleted file",
        "ENOENT",
        lambda zoo: Exec(MISSING),
        lambda zoo: circumstances.stdin_is_deleted_file(zoo.directory),
    ),
    Case(
        "stdin directory",
        "ENOENT",
        lambda zoo: Exec(MISSING),
        lambda zoo: circumstances.open_stdin(zoo.directory, os.O_RDONLY),
    ),
    Case(
        "stdin fifo", "ENOENT", lambda zoo: Exec(MISSING), lambda zoo: circumstances.open_stdin(zoo / "fifo")
    ),
    Case("stdin socket", "ENOENT", lambda zoo: Exec(MISSING), lambda zoo: circumstances.stdin_is_socket()),
    Case("stdin eventfd", "ENOENT", lambda zoo: Exec(MISSING), lambda zoo: circumstances.stdin_is_eventfd()),
    Case("stdin inotify", "ENOENT", lambda zoo: Exec(MISSING), lambda zoo: circumstances.stdin_is_inotify()),
    Case(
        "stdin memory file",
        "ENOENT",
        lambda zoo: Exec(MISSING),
        lambda zoo: circumstances.stdin_is_memory_file(),
    ),
    Case(
        "stdin namespace",
        "ENOENT",
        lambda zoo: Exec(MISSING),
        lambda zoo: circumstances.open_stdin("/proc/self/ns/mnt", os.O_RDONLY),
    ),
    Case(
        "stdin file of /proc",
        "ENOENT",
        lambda zoo: Exec(MISSING),
        lambda zoo: circumstances.open_stdin("/proc/self/status", os.O_RDONLY),
    ),
    Case(
        "stdin terminal",
        "ENOENT",
        lambda zoo: Exec(MISSING),
        lambda zoo: circumstances.take_controlling_terminal(),
    ),
    Case("stdin closed", "ENOENT", lambda zoo: Exec(MISSING), _stdin_closed),
    Case(
        "deep working directory",
        "ENOENT",
        lambda zoo: Exec(b"nothing"),
        lambda zoo: circumstances.go_to_deep_directory(zoo / "directory", 60),
    ),
    Case("hostile working directory", "ENOENT", lambda zoo: Exec(b"nothing"), _hostile_directory),
    Case(
        "deleted working directory",
        "ENOENT",
        lambda zoo: Exec(b"nothing"),
        lambda zoo: circumstances.go_to_deleted_directory(zoo.directory),
    ),
    Case("working directory /", "ENOENT", lambda zoo: Exec(b"no/such"), lambda zoo: os.chdir("/")),
    Case(
        "chroot, absolute path",
        "EACCES",
        lambda zoo: Exec(b"/sub/plain"),
        lambda zoo: circumstances.change_root(zoo / "root", "/"),
        binary="/sub/plain",
    ),
    Case(
        "chroot, relative path",
        "EACCES",
        lambda zoo: Exec(b"./plain"),
        lambda zoo: circumstances.change_root(zoo / "root", "/sub"),
        binary="/sub/plain",
    ),
    Case(
        "chroot, absolute link",
        "EACCES",
        lambda zoo: Exec(b"/link"),
        lambda zoo: circumstances.change_root(zoo / "root", "/sub"),
        binary="/sub/plain",
    ),
    Case(
        "chroot, path that is only outside",
        "ENOENT",
        named("not-executable"),
        lambda zoo: circumstances.change_root(zoo / "root", "/"),
    ),
    Case(
        "chroot, stdin outside",
        "ENOENT",
        lambda zoo: Exec(MISSING),
        _root_with_stdin_outside,
    ),
    Case("chroot, working outside", "ENOENT", lambda zoo: Exec(b"nothing"), _root_outside_of_which_it_works),
    Case(
        "overlay",
        "EACCES",
        named("directory/merged/plain"),
        lambda zoo: circumstances.mount_overlay(zoo / "root/sub", zoo / "directory"),
        binary="directory/merged/plain",
    ),
    Case(
        "user namespace",
        "EACCES",
        named("not-executable"),
        lambda zoo: circumstances.enter_user_namespace(),
        binary="not-executable",
    ),
    Case(
        "mount namespace of a user namespace",
        "ENOENT",
        lambda zoo: Exec(MISSING),
        lambda zoo: circumstances.enter_mount_namespace_of_user_namespace(),
    ),
    Case(
        "pid namespace",
        "EACCES",
        named("not-executable"),
        lambda zoo: circumstances.enter_pid_namespace(),
        binary="not-executable",
    ),
]
