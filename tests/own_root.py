"""The path of these tests' root directory, for records that only the kernel could make.

Run as ``python -m tests.own_root COMMAND ...`` from a chroot, the root directory of the command is that of a
mount namespace of its own: in a chroot the kernel makes no user namespace, and no mount that stays private.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from contextlib import suppress
from typing import Final

from execwhy.bpf.caller.namespaces import is_chrooted, neighbour_of, own_mount_ns
from execwhy.bpf.events.record import ExecFailure

_CLONE_NEWNS: Final = 0x20000
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 0x40000
_MNT_DETACH: Final = 2


@functools.cache
def _outside() -> str | None:
    """Find a process that has the root directory of our mount namespace if ours is that of a chroot."""
    anyone = ExecFailure(timestamp=0, path=None, return_value=-2, mount_ns=own_mount_ns())
    return neighbour_of(anyone) if is_chrooted() else None


@functools.cache
def own_root() -> str:
    """Return the path of our root directory in our mount namespace: "/" except in a chroot."""
    outside = _outside()
    if outside is None:
        return "/"
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        with suppress(OSError):
            os.chroot(f"{outside}/root")
            os.write(theirs, os.fsencode(os.readlink(f"/proc/{os.getppid()}/root")))
        os._exit(0)
    os.close(theirs)
    with open(ours, "rb") as answer:
        path = os.fsdecode(answer.read())
    os.waitpid(child, 0)
    return path or "/"


def take_own_root() -> None:
    """Leave the chroot for a mount namespace whose root directory is the same.

    Raises:
        OSError: It is refused; the process should then end.
    """
    path, place = own_root(), os.getcwd()
    if path == "/":
        return
    libc = ctypes.CDLL(None, use_errno=True)

    def done(result: int) -> None:
        if result:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    # Leave the chroot first: a new mount namespace also copies the mount below the root directory.
    os.chroot(f"{_outside()}/root")
    os.chdir("/")
    done(libc.unshare(_CLONE_NEWNS))
    done(libc.mount(None, b"/", None, _MS_REC | _MS_PRIVATE, None))
    done(libc.mount(os.fsencode(path), os.fsencode(path), None, _MS_BIND | _MS_REC, None))
    os.chdir(path)
    done(libc.pivot_root(b".", b"."))
    done(libc.umount2(b".", _MNT_DETACH))
    os.chdir(place)


def main() -> None:
    """Run the command in the process's place."""
    try:
        take_own_root()
    except OSError as error:
        sys.exit(
            f"These tests need a mount namespace of their own, which this chroot refuses: {error.strerror}."
        )
    os.execvp(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    main()
