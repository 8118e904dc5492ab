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

_LAST: Final = 10**12 - 1
"""The last number, since one with more digits would not be known again as ours."""


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
            ours, taken = self._found()
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
        # Others may have taken numbers, as many as they like; and more of them meanwhile.
        for number in range(first, _LAST + 1):
            if number not in taken:
                with contextlib.suppress(Existing):
                    return LiveFile(f"{self._stem}.{number:06d}{self._ending}")
        raise SnapshotError(f"{self._path} has no number left: choose another name.")

    def _found(self) -> tuple[list[tuple[int, str]], set[int]]:
        """Return number and name of this program's and user's files, the oldest first, and all numbers."""
        ours, taken = [], set()
        with os.scandir(self._directory) as entries:
            for entry in entries:
                match = self._pattern.fullmatch(entry.name)
                if match is None:
                    continue
                taken.add(int(match[1]))
                if _is_recording(entry.path):
                    ours.append((int(match[1]), entry.name))
        return sorted(ours), taken


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
