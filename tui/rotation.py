"""The files of one recording that begins a new one whenever the last is full, and keeps the newest of them.

They are numbered: of ``fails.jsonl`` the first is ``fails.000001.jsonl``. A later run goes on counting, so
that the bound holds however often the program is started. Nothing is renamed, so whoever reads one keeps it.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from typing import Final

from tui.model.safe_file import Existing, LiveFile, SnapshotError, failure, owner_behind_sudo

_BEGINNING: Final = b'{"execwhy":'
"""How the header of a recording begins. What begins otherwise is none of ours and stays."""

_TRIES: Final = 1000
"""Numbers that may be taken by something else before the name is given up."""


class Rotation:
    """Makes the files.

    Args:
        path: The name that all of them have, but for the number before its ending.
        keep: How many there may be, with the one that is being written.
    """

    def __init__(self, path: str, keep: int) -> None:
        self._directory = os.path.dirname(path) or "."
        self._stem, self._ending = os.path.splitext(path)
        self._pattern = re.compile(
            re.escape(os.path.basename(self._stem)) + r"\.(\d{6,12})" + re.escape(self._ending), re.ASCII
        )
        self._path = path
        self._keep = keep
        self.removed = 0

    def open_next(self) -> LiveFile:
        """Remove the oldest files until there is one less than may be kept, and begin a new one.

        Raises:
            SnapshotError: One cannot be removed, or a new one cannot be written there.
        """
        try:
            ours = self._ours()
            for _, name in ours[: max(0, len(ours) - self._keep + 1)]:
                os.unlink(os.path.join(self._directory, name))
                self.removed += 1
        except OSError as error:
            if isinstance(error, FileNotFoundError) and not os.path.isdir(self._directory):
                raise failure(self._path, error) from error
            raise SnapshotError(
                f"an older file of {self._path} could not be removed ({os.strerror(error.errno or 0)}): "
                "make its directory writable for this user."
            ) from error
        first = ours[-1][0] + 1 if ours else 1
        for number in range(first, first + _TRIES):
            path = f"{self._stem}.{number:06d}{self._ending}"
            with contextlib.suppress(Existing):
                if not os.path.lexists(path):
                    return LiveFile(path)
        raise SnapshotError(f"{self._path} has no free number: choose another name.")

    def _ours(self) -> list[tuple[int, str]]:
        """Return number and name of the files that this program, as this user, has made, the oldest first."""
        found = []
        with os.scandir(self._directory) as entries:
            for entry in entries:
                match = self._pattern.fullmatch(entry.name)
                if match and _is_recording(entry.path):
                    found.append((int(match[1]), entry.name))
        return sorted(found)


def _is_recording(path: str) -> bool:
    """Return whether it is a regular file of this user's that begins as a recording does."""
    try:
        status = os.stat(path, follow_symlinks=False)
        if not stat.S_ISREG(status.st_mode) or status.st_uid not in _owners():
            return False
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.read(descriptor, len(_BEGINNING)) == _BEGINNING
    except OSError:
        return False
    finally:
        os.close(descriptor)


def _owners() -> set[int]:
    behind = owner_behind_sudo()
    return {os.geteuid()} if behind is None else {os.geteuid(), behind[0]}
