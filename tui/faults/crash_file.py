"""The file for the events after a crash: a new one, where no other user can read or replace it."""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import stat
import time
from collections.abc import Iterator
from typing import Final

from execwhy.tui.model.files.safe_file import owner_behind_sudo

_LAST_RESORT: Final = "/var/tmp"


def new_file() -> tuple[str, int]:
    """Create an empty file in a directory that no other user can write to, or else in /var/tmp.

    Returns:
        Its path, and a descriptor that can be read and written.

    Raises:
        OSError: It cannot be created in /var/tmp either.
    """
    name = f"execwhy-crash-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(4)}.jsonl"
    for path in (*_own_directories(), _LAST_RESORT):
        try:
            directory = _last_resort() if path == _LAST_RESORT else _own_directory(path)
        except OSError:
            continue
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(name, flags, 0o600, dir_fd=directory)
            os.fchmod(descriptor, 0o600)
            if path == _LAST_RESORT and (owner := owner_behind_sudo()) is not None:
                os.fchown(descriptor, *owner)
            return f"{path}/{name}", descriptor
        except OSError:
            continue
        finally:
            os.close(directory)
    raise OSError("there is no directory to write to")


def _own_directories() -> Iterator[str]:
    state = os.environ.get("XDG_STATE_HOME", "")
    if state.startswith("/"):
        yield f"{os.path.normpath(state)}/execwhy"
    with contextlib.suppress(KeyError):
        yield f"{pwd.getpwuid(os.geteuid()).pw_dir.rstrip('/')}/.local/state/execwhy"


def _own_directory(path: str) -> int:
    """Open a directory whose whole path only this user or root can change; create what is missing.

    Raises:
        OSError: It cannot be created, or the path contains a link or a directory of another user.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    directory = os.open("/", flags)
    try:
        for name in filter(None, path.split("/")):
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, 0o700, dir_fd=directory)
            inner = os.open(name, flags, dir_fd=directory)
            os.close(directory)
            directory = inner
            status = os.fstat(directory)
            if status.st_uid not in (0, os.geteuid()) or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise PermissionError(f"{path} is not this user's own")
        return directory
    except BaseException:
        os.close(directory)
        raise


def _last_resort() -> int:
    return os.open(_LAST_RESORT, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
