"""Mounts that change between an exec and its look, in a mount namespace of their own.

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
_MS_NOSYMFOLLOW: Final = 0x100
_BINFMT_MISC: Final = Path("/proc/sys/fs/binfmt_misc")
_PREFIX: Final = "execwhy-swapped-"
_HANDLED: Final = b"\x7fXWS\0swapped"
_libc: Final = ctypes.CDLL(None, use_errno=True)


def mount(source: Path | str, target: Path, kind: str = "", flags: int = 0) -> None:
    """Mount something, as mount(2); of a tmpfs only root may write the root directory."""
    options = b"mode=755" if kind == "tmpfs" else None
    checked(_libc.mount(os.fsencode(source), os.fsencode(target), kind.encode(), flags, options))


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


def on_noexec_mount(place: Path, other: Path) -> ExecFailure:
    """Execute a file on a noexec mount."""
    mount("none", place, "tmpfs", _MS_NOEXEC)
    (place / "job").write_text("#!/bin/sh\n")
    (place / "job").chmod(0o755)
    return failed_exec(place / "job")


def noexec_mount_allows_since(place: Path, other: Path) -> ExecFailure:
    """Let the mount execute after the exec."""
    record = on_noexec_mount(place, other)
    mount("none", place, flags=_MS_REMOUNT)
    return record


def by_noexec_interpreter(place: Path, other: Path) -> ExecFailure:
    """Have the interpreter of a script on a noexec mount."""
    (other / "interpreter").write_text("#!/bin/sh\n")
    (other / "interpreter").chmod(0o755)
    mount("none", place, "tmpfs")
    shutil.copy(other / "interpreter", place / "interpreter")
    mount("none", place, flags=_MS_REMOUNT | _MS_NOEXEC)
    script = _script(place.parent / "script", place / "interpreter")
    return failed_exec(script)


def interpreters_mount_allows_since(place: Path, other: Path) -> ExecFailure:
    """Let the interpreter's mount execute after the exec."""
    record = by_noexec_interpreter(place, other)
    mount("none", place, flags=_MS_REMOUNT)
    return record


def interpreters_mount_forbids_since(place: Path, other: Path) -> ExecFailure:
    """Make the mount of an interpreter without x noexec after the exec."""
    mount("none", place, "tmpfs")
    shutil.copy(other / "job", place / "interpreter")
    record = failed_exec(_script(place.parent / "script", place / "interpreter"))
    (place / "interpreter").chmod(0o755)
    mount("none", place, flags=_MS_REMOUNT | _MS_NOEXEC)
    return record


def interpreters_mount_taken_away(place: Path, other: Path) -> ExecFailure:
    """Unmount the interpreter's file system after the exec."""
    record = by_noexec_interpreter(place, other)
    umount(place)
    return record


def interpreters_mount_covered(place: Path, other: Path) -> ExecFailure:
    """Mount another noexec file system over the interpreter's after the exec."""
    record = by_noexec_interpreter(place, other)
    mount("none", place, "tmpfs", _MS_NOEXEC)
    shutil.copy(other / "interpreter", place / "interpreter")
    return record


def names_noexec_interpreter_since(place: Path, other: Path) -> ExecFailure:
    """Have the script name an interpreter on a noexec mount after the exec, and one without x at it."""
    by_noexec_interpreter(place, other)
    script = _script(place.parent / "script", other / "job")
    record = failed_exec(script)
    _script(script, place / "interpreter")
    return record


def noexec_interpreter_exchanged(place: Path, other: Path) -> ExecFailure:
    """Put another script in its place after the exec, which has the same interpreter."""
    spare = _script(place.parent / "spare", place / "interpreter")
    record = by_noexec_interpreter(place, other)
    spare.rename(place.parent / "script")
    return record


def forbidden_link(place: Path, other: Path) -> ExecFailure:
    """Execute a link on a mount that lets none be followed."""
    mount("none", place, "tmpfs", _MS_NOSYMFOLLOW)
    (place / "link").symlink_to("/bin/true")
    return failed_exec(place / "link")


def links_allowed_since(place: Path, other: Path) -> ExecFailure:
    """Let its links be followed after the exec."""
    record = forbidden_link(place, other)
    mount("none", place, flags=_MS_REMOUNT)
    return record


def links_forbidden_since(place: Path, other: Path) -> ExecFailure:
    """Have a loop of links at the exec, and a link on a mount that lets none be followed after it."""
    mount("none", place, "tmpfs")
    (place / "link").symlink_to("link")
    record = failed_exec(place / "link")
    mount("none", place, flags=_MS_REMOUNT | _MS_NOSYMFOLLOW)
    (place / "spare").symlink_to("/bin/true")
    (place / "spare").rename(place / "link")
    return record


def mount_of_forbidden_link_taken_away(place: Path, other: Path) -> ExecFailure:
    """Unmount what lets no link be followed after the exec."""
    record = forbidden_link(place, other)
    umount(place)
    return record


def mount_of_forbidden_link_covered(place: Path, other: Path) -> ExecFailure:
    """Mount another one over it after the exec."""
    record = forbidden_link(place, other)
    mount("none", place, "tmpfs", _MS_NOSYMFOLLOW)
    (place / "link").symlink_to("/bin/true")
    return record


def forbidden_link_exchanged(place: Path, other: Path) -> ExecFailure:
    """Put another link in its place after the exec."""
    mount("none", place, "tmpfs", _MS_NOSYMFOLLOW)
    for name, target in (("link", "/bin/true"), ("spare", "/bin/false")):
        (place / name).symlink_to(target)
    record = failed_exec(place / "link")
    (place / "spare").rename(place / "link")
    return record


def handled(place: Path, other: Path) -> ExecFailure:
    """Execute a file whose handler's interpreter is missing."""
    register("first", place / "emulator")
    return _handled_exec(other)


def handler_registered_anew(place: Path, other: Path) -> ExecFailure:
    """Register it for another interpreter after the exec."""
    record = handled(place, other)
    unregister("first")
    register("first", place / "other-emulator")
    return record


def handler_exchanged(place: Path, other: Path) -> ExecFailure:
    """Remove a handler after the exec, where there is another one for such files."""
    register("first", place / "other-emulator")
    register("second", place / "emulator")
    record = _handled_exec(other)
    unregister("second")
    return record


def handler_switched(place: Path, other: Path) -> ExecFailure:
    """Switch a handler off and another one on after the exec, without a trace."""
    register("first", place / "emulator")
    register("second", place / "other-emulator")
    _write_in_place("second", "0")
    record = _handled_exec(other)
    _write_in_place("first", "0")
    _write_in_place("second", "1")
    return record


def handler_of_text_removed(place: Path, other: Path) -> ExecFailure:
    """Remove a handler after the exec, whose interpreter is a text."""
    (other / "job").chmod(0o755)
    register("first", other / "job")
    record = _handled_exec(other)
    unregister("first")
    return record


def handlers_interpreter_removed_since(place: Path, other: Path) -> ExecFailure:
    """Have the interpreter's own interpreter be missing at the exec, and the interpreter after it."""
    register("first", _script(place / "emulator", Path("/no/such/interpreter")))
    record = _handled_exec(other)
    (place / "emulator").unlink()
    return record


def handled_file_exchanged(place: Path, other: Path) -> ExecFailure:
    """Have a script at the exec whose interpreter is missing, and a file for the handler after it."""
    register("first", place / "emulator")
    record = failed_exec(_script(other / "handled", Path("/no/such/interpreter")))
    (other / "spare").write_bytes(_HANDLED)
    (other / "spare").chmod(0o755)
    (other / "spare").rename(other / "handled")
    return record


def of_the_first_namespace(place: Path, other: Path) -> ExecFailure:
    """Fail in the namespace of process 1, which this program is not in, as in a container.

    The parent stands in for process 1, which may not be examined everywhere.
    """
    first = os.getppid()
    mount_watch._FIRST = f"/proc/{first}"  # type: ignore[misc]
    mount_watch._watches_of.cache_clear()
    mount_watch.watch_mounts()
    namespace = os.stat(f"/proc/{first}/ns/mnt").st_ino
    return dataclasses.replace(failed_exec(place / "job"), mount_ns=namespace, pid=first, ppid=first)


def register(name: str, interpreter: Path) -> None:
    """Register an interpreter for files that begin with ``_HANDLED``."""
    if not (_BINFMT_MISC / "register").exists():
        mount("none", _BINFMT_MISC, "binfmt_misc")
    magic = "".join(f"\\x{byte:02x}" for byte in _HANDLED)
    (_BINFMT_MISC / "register").write_text(f":{_PREFIX}{name}:M::{magic}::{interpreter}:")


def unregister(name: str) -> None:
    """Remove a registration."""
    (_BINFMT_MISC / f"{_PREFIX}{name}").write_text("-1")


def _write_in_place(name: str, text: str) -> None:
    """Write to a registration as few do: without O_TRUNC, which would set its ctime."""
    descriptor = os.open(_BINFMT_MISC / f"{_PREFIX}{name}", os.O_WRONLY)
    os.write(descriptor, text.encode())
    os.close(descriptor)


def _handled_exec(other: Path) -> ExecFailure:
    file = other / "handled"
    file.write_bytes(_HANDLED)
    file.chmod(0o755)
    record = failed_exec(file)
    # The kernel has read it to choose the handler, so it had the file open.
    return dataclasses.replace(record, binary=dataclasses.replace(record.binary, source="kernel"))  # type: ignore[type-var]


def _script(path: Path, interpreter: Path) -> Path:
    path.write_text(f"#!{interpreter}\n")
    path.chmod(0o755)
    return path


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
        on_noexec_mount,
        noexec_mount_allows_since,
        by_noexec_interpreter,
        interpreters_mount_allows_since,
        interpreters_mount_forbids_since,
        interpreters_mount_taken_away,
        interpreters_mount_covered,
        names_noexec_interpreter_since,
        noexec_interpreter_exchanged,
        forbidden_link,
        links_allowed_since,
        links_forbidden_since,
        mount_of_forbidden_link_taken_away,
        mount_of_forbidden_link_covered,
        forbidden_link_exchanged,
        handled,
        handler_registered_anew,
        handler_exchanged,
        handler_switched,
        handler_of_text_removed,
        handlers_interpreter_removed_since,
        handled_file_exchanged,
    )
}

TRUE: Final = {
    "untouched": "no-execute-permission",
    "taken_away_before": "no-shebang",
    "of_the_first_namespace": "no-shebang",
    "on_noexec_mount": "noexec-mount",
    "by_noexec_interpreter": "interpreter-on-noexec-mount",
    "forbidden_link": "links-forbidden-by-mount",
    "handled": "missing-binfmt-interpreter",
}
"""Situations in which nothing is replaced after the exec: their causes are certain."""


def main() -> None:
    """Make one situation, and print its diagnosis."""
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
        for handler in _BINFMT_MISC.glob(f"{_PREFIX}*"):
            handler.write_text("-1")
        for _ in range(2):
            _libc.umount2(os.fsencode(base / "place"), 2)
        shutil.rmtree(base)


if __name__ == "__main__":
    main()
