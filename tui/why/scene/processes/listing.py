"""Who has a file open: the descriptors of all processes, by the names that /proc shows for them.

Names come from the links in /proc/PID/fd, which are read without looking at the files; only descriptors with
the file's name, or with its inode number, are looked at further (/proc/PID/fdinfo). The caller, its parents,
children and siblings come first, anew for each failure. One list of all processes serves many failures, so
that a flood costs little.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from sys import getsizeof
from typing import Final

from execwhy.bpf.caller.own_time import own_time
from execwhy.bpf.events import clock
from execwhy.tui.why.scene.proc import read_proc
from execwhy.tui.why.scene.processes.descriptors import (
    MAX_OF_ONE,
    Descriptor,
    descriptors_of,
    facts_of,
    numbers_of,
    writes,
)
from execwhy.tui.why.scene.scene import Scene

SECONDS: Final = 0.2
"""Time limit of one look: a diagnosis must be done within a quarter of a second."""

MAX_PROCESSES: Final = 4096
MAX_RELATIVES: Final = 64
MAX_DESCRIPTORS: Final = 65_536
"""Of all processes together; each takes about 5 us."""

MAX_LINK_BYTES: Final = 16 << 20
"""Memory for their links, each 16 KB at most and usually about 150 bytes."""

_AT_ONCE: Final = 256
"""Descriptors of a process that are listed before those of the next, so that no crowd hides others."""

_SHARE: Final = 4
"""Lists take a quarter of the time: a new one waits three times as long as the last one took."""

_LASTS: Final = 1_000_000_000
"""Nanoseconds for which a list serves what failed before it was begun."""


class Listing:
    """The descriptors of all processes, as far as there was time to list them. None is read twice.

    Attributes:
        began: When the list was begun, in nanoseconds on the clock of the records.
        free_at: When another one may be begun, on the clock of ``own_time``.
        left_out: A sentence about what the last search did not reach; None if it reached everything.
    """

    def __init__(self, uid: int) -> None:
        self.began = clock.now()
        self.free_at = 0.0
        self.left_out: str | None = None
        self._spent = 0.0
        self._pids = _pids()
        self._done = self._seen = self._link_bytes = 0
        self._unlisted: Iterator[list[Descriptor]] | None = self._chunks(uid)
        self._by_name: dict[str, list[Descriptor]] = {}
        self._unasked: Iterator[Descriptor] | None = None
        self._by_inode: dict[int, list[Descriptor]] = {}

    def named(self, name: str, deadline: float) -> Iterator[Descriptor]:
        """Yield the descriptors of files with a name: the same user's first, then the newest processes'."""
        yield from tuple(self._by_name.get(name, ()))
        for descriptor in self._listed(deadline):
            if descriptor.name == name:
                yield descriptor

    def with_inode(self, number: int, deadline: float) -> Iterator[Descriptor]:
        """Yield the descriptors of files with an inode number that are open for writing, by any name."""
        if self._unlisted is not None:
            return
        if self._unasked is None:
            every = [one for some in self._by_name.values() for one in some if _may_be_file(one.link)]
            self._unasked = iter(every)
        yield from tuple(self._by_inode.get(number, ()))
        began = own_time()
        while (now := own_time()) < deadline and (one := next(self._unasked, None)) is not None:
            facts = facts_of(one)
            if writes(facts) and "ino" in facts:
                inode = int(facts["ino"])
                self._by_inode.setdefault(inode, []).append(one)
                if inode == number:
                    yield one
        self._count(began)
        if now >= deadline:
            self.left_out = (
                "Not all open files were asked for their inodes, which show the file under another name: the"
                " time was too short."
            )

    def _listed(self, deadline: float) -> Iterator[Descriptor]:
        """Continue the list, and yield what is added."""
        began = own_time()
        while self._unlisted is not None and own_time() < deadline:
            chunk = next(self._unlisted, None)
            if chunk is None or self._is_full:
                self._unlisted = None
                break
            self._seen += len(chunk)
            for descriptor in chunk:
                name = descriptor.name
                self._link_bytes += getsizeof(descriptor.link) + getsizeof(name)
                self._by_name.setdefault(name, []).append(descriptor)
            yield from chunk
        self._count(began)
        why = "room" if self._unlisted is None else "time"
        processes = len(self._pids)
        if self._unlisted is None and not self._is_full and processes <= MAX_PROCESSES:
            self.left_out = None
        elif self._done < processes:
            self.left_out = (
                f"Of {processes:,} processes {self._done:,} were looked at: there is only so much {why}."
            )
        else:
            self.left_out = (
                "Of processes with many open files not all of these were looked at: there is only so much"
                f" {why}."
            )

    @property
    def _is_full(self) -> bool:
        return self._seen > MAX_DESCRIPTORS or self._link_bytes > MAX_LINK_BYTES

    def _count(self, began: float) -> None:
        now = own_time()
        self._spent += now - began
        self.free_at = now + (_SHARE - 1) * self._spent

    def _chunks(self, uid: int) -> Iterator[list[Descriptor]]:
        many: list[tuple[int, list[int]]] = []
        for pid in sorted(self._pids[:MAX_PROCESSES], key=lambda pid: _owner(pid) != uid):
            numbers = numbers_of(pid)
            yield descriptors_of(pid, numbers[:_AT_ONCE])
            self._done += 1
            if len(numbers) > _AT_ONCE:
                many.append((pid, numbers))
        for at in range(_AT_ONCE, MAX_OF_ONE, _AT_ONCE):
            for pid, numbers in many:
                yield descriptors_of(pid, numbers[at : at + _AT_ONCE])


_last: Final[list[Listing]] = []
"""The list that was begun last, if there is one."""


def current(scene: Scene) -> Listing:
    """Begin a list of all open descriptors, or return the last one if it serves as well.

    It serves all that failed before it was begun: it has every process that had the file open then and still
    has. It also serves others until another list may be begun.
    """
    known, failed = _last[-1] if _last else None, scene.record.timestamp
    if known is not None:
        serves = failed <= known.began and clock.now() - known.began < _LASTS
        if serves or own_time() < known.free_at:
            return known
    _last[:] = [Listing(scene.record.uid)]
    return _last[-1]


def began_before(listed: Listing, scene: Scene) -> str | None:
    """Return a sentence if a list lacks what was opened right before the exec; else None."""
    if listed.began >= scene.record.timestamp:
        return None
    return "Except for the caller's relatives, what processes have open was listed a moment before the exec."


def of_relatives(scene: Scene, deadline: float) -> Iterator[list[Descriptor]]:
    """Yield the descriptors of the caller and the highest ones of its relatives, as they are now.

    The relatives are its children, its parent, the parent's other children, then its ancestors.
    """
    record = scene.record
    numbers = numbers_of(record.pid)
    for at in range(0, len(numbers), _AT_ONCE):
        yield descriptors_of(record.pid, numbers[at : at + _AT_ONCE])
    kin = [*_children(record.pid), record.ppid, *_children(record.ppid)]
    kin += [ancestor.pid for ancestor in record.ancestors]
    others = [pid for pid in dict.fromkeys(kin) if pid not in (0, record.pid)]
    deadline = min(deadline, own_time() + SECONDS / 4)
    for pid in others[:MAX_RELATIVES]:
        if own_time() > deadline:
            return
        yield descriptors_of(pid, numbers_of(pid)[:_AT_ONCE])


def _children(pid: int) -> list[int]:
    """Return the children of a process's first thread, the newest first."""
    text = read_proc(f"/proc/{pid}/task/{pid}/children") or ""
    return [int(word) for word in reversed(text.split()[:-1] if len(text) >= 16_384 else text.split())]


def _may_be_file(link: str) -> bool:
    return link.startswith("/") and (not link.startswith("/dev/") or link.startswith("/dev/shm/"))


def _owner(pid: int) -> int:
    try:
        return os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return -1


def _pids() -> list[int]:
    try:
        return sorted((int(name) for name in os.listdir("/proc") if name.isdigit()), reverse=True)
    except OSError:
        return []
