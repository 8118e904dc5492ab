"""Mounts that change between an exec and the look at it, in a mount namespace for that alone.

Run as ``unshare --mount --propagation private python -m tests.live.swapped_mounts NAME``; prints the cause's
code and whether it is certain.
"""

from __future__ import annotations

import ctypes
import dataclasses
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from execwhy.bpf.events.record import ExecFailure
from execwhy.tui.why.causes import diagnose
from execwhy.tui.why.scene import mount_watch
from tests.live.circumstances import checked
from tests.unit.tui.why.failing import failed_exec

_MS_BIND: Final = 0x1000
_MS_REMOUNT: Final = 0x20
_MS_NOEXEC: Final = 8
_libc: Final = ctypes.CDLL(None, use_errno=True)


def mount(source: Path | str, target: Path, kind: str = "", flags: int = 0) -> None:
    """Mount something, as mount(2)."""
    checked(_libc.mount(os.fsencode(source), os.fsencode(target), kind.encode(), flags, None))


def umount(target: Path) -> None:
    """Unmount it."""
    checked(_libc.umount2(os.fsencode(target), 0))


def untouched(place: Path, other: Path) -> ExecFailure:
    """Mount before the exec, and nothing after it."""
    mount(other, place, flags=_MS_BIND)
    return failed_exec(place / "job")


def taken_away_before(place: Path, other: Path) -> ExecFailure:
    """Mount, and unmount, before the exec."""
    mount(other, place, flags=_MS_BIND)
    umount(place)
    return failed_exec(place / "job")


def taken_away(place: Path, other: Path) -> ExecFailure:
    """Unmount after the exec."""
    mount(other, place, flags=_MS_BIND)
    record = failed_exec(place / "job")
    umount(place)
    return record


def put_over(place: Path, other: Path) -> ExecFailure:
    """Mount after the exec."""
    record = failed_exec(place / "job")
    mount(other, place, flags=_MS_BIND)
    return record


def put_over_and_taken_away(place: Path, other: Path) -> ExecFailure:
    """Mount and unmount after the exec."""
    record = failed_exec(place / "job")
    mount(other, place, flags=_MS_BIND)
    umount(place)
    return record


def forbidden_since(place: Path, other: Path) -> ExecFailure:
    """Make the mount noexec after the exec."""
    mount("none", place, "tmpfs")
    shutil.copy(other / "job", place / "job")
    record = failed_exec(place / "job")
    mount("none", place, flags=_MS_REMOUNT | _MS_NOEXEC)
    return record


def of_the_first_namespace(place: Path, other: Path) -> ExecFailure:
    """Fail in the namespace of process 1, which this program is not in, as in a container.

    Process 1 is played by the parent: not everywhere may the other be looked at.
    """
    first = os.getppid()
    mount_watch._FIRST = f"/proc/{first}"  # type: ignore[misc]
    mount_watch._watches_of.cache_clear()
    mount_watch.watch_mounts()
    namespace = os.stat(f"/proc/{first}/ns/mnt").st_ino
    return dataclasses.replace(failed_exec(place / "job"), mount_ns=namespace, pid=first, ppid=first)


SITUATIONS: Final[dict[str, Callable[[Path, Path], ExecFailure]]] = {
    one.__name__: one
    for one in (
        untouched,
        taken_away_before,
        of_the_first_namespace,
        taken_away,
        put_over,
        put_over_and_taken_away,
        forbidden_since,
    )
}


def main() -> None:
    """Make one situation, and print what is said of it."""
    base = Path(tempfile.mkdtemp(prefix="execwhy-mounts-"))
    try:
        place, other = base / "place", base / "other"
        for directory, mode in ((place, 0o755), (other, 0o644)):
            directory.mkdir()
            (directory / "job").write_text("text\n")
            (directory / "job").chmod(mode)
        diagnosis = diagnose(SITUATIONS[sys.argv[1]](place, other))
        print(diagnosis.code, diagnosis.certain)
    finally:
        _libc.umount2(os.fsencode(base / "place"), 2)
        shutil.rmtree(base)


if __name__ == "__main__":
    main()
