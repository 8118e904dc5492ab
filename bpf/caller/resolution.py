"""The context and the result of a walk along a path: where it takes place, its steps, and how it ended."""

from __future__ import annotations

import enum
import errno
import os
import stat
from dataclasses import dataclass
from typing import Final

from execwhy.bpf.caller.mountinfo import UNKNOWN, Mount, Place
from execwhy.bpf.caller.mounts import MountTable
from execwhy.bpf.caller.safety import Access


class End(enum.Enum):
    """How a walk ended."""

    FOUND = "found"
    MISSING = "missing"
    NOT_A_DIRECTORY = "not a directory"
    TOO_MANY_LINKS = "too many links"
    NAME_TOO_LONG = "name too long"
    NOT_FOLLOWED = "a link that was not to be followed"
    MAY_BLOCK = "on a file system that is not looked into"
    UNREADABLE = "not readable"
    OUT_OF_TIME = "out of time"


END_OF_ERRNO: Final = {
    errno.ENOENT: End.MISSING,
    errno.ENOTDIR: End.NOT_A_DIRECTORY,
    errno.ENAMETOOLONG: End.NAME_TOO_LONG,
}
"""How a walk ends at a component that cannot be opened, by the error."""

NO_STAT: Final = os.stat_result(range(10))
"""Of a directory that has not been looked at yet."""
_NOWHERE: Final = Place(UNKNOWN, None, Access.NONE)


@dataclass(frozen=True, slots=True)
class Step:
    """A component that exists.

    Attributes:
        path: Its path below the root of the walk, with every link before it followed.
        stat: Its inode (for a link, that of the link itself).
        target: The target of a link; None otherwise.
        acl: The raw POSIX ACL of a directory, if it exists and ``with_acls`` asked for it.
        place: The mount that it was reached through, as the caller's namespace listed it then. Another mount
            may get its id once this one is gone.
        encrypted: It is a directory whose names need a key (fscrypt); known only ``with_acls``.
    """

    path: str
    stat: os.stat_result
    target: str | None = None
    acl: bytes | None = None
    place: Place = _NOWHERE
    encrypted: bool = False

    @property
    def mount(self) -> Mount | None:
        """The mount that it was reached through; None if the caller's namespace does not list it."""
        return self.place.mount

    @property
    def mount_id(self) -> int:
        """The id of that mount; -1 if it is not known."""
        return self.place.mount_id

    @property
    def device_id(self) -> int:
        """The kernel's s_dev, which differs from st_dev on btrfs and overlay."""
        if self.place.mount is not None:
            return self.place.mount.device_id
        return os.major(self.stat.st_dev) << 20 | os.minor(self.stat.st_dev)

    @property
    def may_read(self) -> bool:
        """Whether its content may be read: it lies on a file system on a disk or in memory."""
        return self.place.access is Access.READ

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory."""
        return stat.S_ISDIR(self.stat.st_mode)


@dataclass(frozen=True, slots=True)
class Resolution:
    """The result of a walk.

    Attributes:
        asked: The path that was asked for.
        steps: The directory where the walk began, then every component that exists, in order.
        end: How it ended.
        path: The file that was found, or the component at which the walk ended, with every link before
            it followed.
        left: The number of components after that one.
        via: The link whose target has that component; None if the path itself has it.
        personal: It went through /proc/PID, so it is valid for one process only.
        refused: The mount that was not entered, if the walk ended with MAY_BLOCK because of a mount.
        refusal: Any other reason for MAY_BLOCK: "lies on a mount that ...".
    """

    asked: str
    steps: tuple[Step, ...]
    end: End
    path: str
    left: int = 0
    via: Step | None = None
    personal: bool = False
    refused: Mount | None = None
    refusal: str = ""

    @property
    def may_read(self) -> bool:
        """Whether a file was found that may be opened and read, as far as its file system is concerned."""
        return self.end is End.FOUND and self.steps[-1].may_read

    @property
    def links(self) -> tuple[Step, ...]:
        """The links that were followed, in order."""
        return tuple(step for step in self.steps if step.target is not None)


@dataclass(frozen=True, slots=True)
class WalkContext:
    """Where a walk takes place.

    Attributes:
        root: Descriptor of the root directory.
        mounts: The mounts there; some must not be entered.
        base: Path of that root as in ``mounts``; "" for "/".
        pid: The process that /proc/self stands for.
        tid: The thread that /proc/thread-self stands for.
        deadline: End of the walk on the clock of ``own_time``; no walk takes longer than ``SECONDS``.
        with_acls: Read the ACL of every directory, and whether it is encrypted.
        place: The mount that ``root`` is on, if it is known.
        users: User ids of the caller. In their directories, as in root's, names may be looked up; see
            ``bpf.caller.cached_lookup``.
    """

    root: int
    mounts: MountTable
    base: str = ""
    pid: int = 0
    tid: int = 0
    deadline: float = float("inf")
    with_acls: bool = False
    place: Place | None = None
    users: tuple[int, ...] = ()
