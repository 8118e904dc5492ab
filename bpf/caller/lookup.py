"""Look up the file that a failed exec named, by its path, right after the exec and as its caller saw it.

Nothing here blocks: only file systems on disks and in memory are read (``safety``), only regular files are
opened there, and only a few KiB of each are read.
"""

from __future__ import annotations

import errno
import functools
import os
import stat
import time
from dataclasses import dataclass, replace
from typing import Final

from cachetools import TTLCache

from execwhy.bpf.caller.binfmt import Elf, Shebang, read_elf, read_shebang
from execwhy.bpf.caller.caller_root import AT_FDCWD, CallerRoot, reach, start_of
from execwhy.bpf.caller.descriptors import extended_attribute
from execwhy.bpf.caller.mountinfo import Mount
from execwhy.bpf.caller.namespaces import own_mount_ns
from execwhy.bpf.caller.own_time import own_time
from execwhy.bpf.caller.resolution import Resolution, WalkContext
from execwhy.bpf.caller.walk import walk
from execwhy.bpf.events.arrivals import Occurrence
from execwhy.bpf.events.identity import ABROAD, CACHED_LOOKUP, OF_PROCESS, RELATIVE
from execwhy.bpf.events.identity_memo import Enricher, IdentityMemo
from execwhy.bpf.events.record import Binary, ExecFailure

HEAD_BYTES: Final = 4096
"""Enough for the ``#!`` line and, in nearly every program, for the ELF headers and PT_INTERP."""

READ_SECONDS: Final = 0.2
"""How long to wait for the bytes of one file; a busy disk takes some 10 ms."""

AT_SYMLINK_NOFOLLOW: Final = 0x100
AT_EMPTY_PATH: Final = 0x1000

_NO_OFFSET: Final = 1 << 62
"""Beyond every file (loff_t ends at 2^63)."""

_SECONDS: Final = 0.25
"""How long an answer is kept: by then a batch of records is done."""

_ENTRIES: Final = 4096


@dataclass(frozen=True, slots=True)
class File:
    """A file that was found.

    Attributes:
        path: Its path below the caller's root, with every link followed.
        stat: Its inode.
        mount: The mount it was reached through; None if that is not known.
        head: Its first bytes; None if it is no regular file or could not be read.
        shebang: Its ``#!`` line, if it has one.
        elf: Its ELF header, if it has one.
        acl: Its raw POSIX ACL (system.posix_acl_access), if it was asked for and exists.
        capability: Its raw file capabilities (security.capability), if they were asked for and exist.
    """

    path: str
    stat: os.stat_result
    mount: Mount | None
    head: bytes | None = None
    shebang: Shebang | None = None
    elf: Elf | None = None
    acl: bytes | None = None
    capability: bytes | None = None

    @property
    def device_id(self) -> int:
        """The kernel's s_dev, which differs from st_dev on btrfs and overlay."""
        if self.mount is not None:
            return self.mount.device_id
        return os.major(self.stat.st_dev) << 20 | os.minor(self.stat.st_dev)

    @property
    def interpreter(self) -> str | None:
        """The interpreter that the kernel would open to run it: from its ``#!`` line or PT_INTERP."""
        if self.shebang is not None:
            return self.shebang.interpreter
        return None if self.elf is None else self.elf.interpreter

    def binary(self) -> Binary:
        """Return the facts that go into a record."""
        status, device_id = self.stat, self.device_id
        return Binary(
            path=self.path,
            device_id=device_id,
            device=f"{device_id >> 20}:{device_id & 0xFFFFF}",
            inode_number=status.st_ino,
            ctime=status.st_ctime_ns,
            inode_mode=status.st_mode,
            source="resolved",
            uid=status.st_uid,
            gid=status.st_gid,
            size=status.st_size,
        )


@dataclass(frozen=True, slots=True)
class ResolvedFile:
    """The resolution of a path, and the file that it names, if there is one."""

    resolution: Resolution
    file: File | None


def look_at(
    caller_root: CallerRoot,
    context: WalkContext,
    path: str,
    start: tuple[int, str] | None = None,
    *,
    follow_last: bool = True,
    thorough: bool = False,
) -> ResolvedFile:
    """Walk along a path and look at the file at its end; ``thorough`` also reads its extended attributes.

    A relative path begins at ``start``, a descriptor and its path.
    """
    start_descriptor, start_path = start or (None, "/")
    resolution, descriptor = walk(context, path, start_descriptor, start_path, follow_last=follow_last)
    if descriptor < 0:
        return ResolvedFile(resolution, None)
    try:
        return ResolvedFile(resolution, _file(descriptor, resolution, thorough))
    finally:
        os.close(descriptor)


def look_at_target(
    record: ExecFailure, caller_root: CallerRoot, context: WalkContext, *, thorough: bool = False
) -> ResolvedFile | None:
    """Look at the file that ``record.path`` names; return None if it, or where it begins, is not known."""
    path = record.path
    if path is None or record.truncated.path:
        return None
    flags = record.flags or 0
    if not path and not flags & AT_EMPTY_PATH:
        return None
    follow_last = not flags & AT_SYMLINK_NOFOLLOW
    if path.startswith("/"):
        return look_at(caller_root, context, path, follow_last=follow_last, thorough=thorough)
    start = start_of(record, caller_root)
    if start is None:
        return None
    try:
        return look_at(caller_root, context, path, start, follow_last=follow_last, thorough=thorough)
    finally:
        os.close(start[0])


def look_up(failure: ExecFailure | Occurrence, now: int) -> tuple[Binary | None, str | None]:
    """Return the file that the path names now, and its interpreter; (None, None) if nothing is there.

    In a storm, many records wait for an answer. They share it if they name the same path in the same place
    and failed before it was looked up. A failure after that is looked up again. Never raises an exception.

    Args:
        failure: The failure.
        now: The time on the clock of its timestamp, in nanoseconds.
    """
    where, is_own = _where_to_look(failure.template)
    key = (where, _of_process(failure)) if is_own else where
    known = _answers.get(key)
    if known is not None and failure.timestamp <= known[0]:
        return known[1]
    try:
        answer, personal = _look_up(failure.materialize())
    except Exception:  # no file, however odd, may end the looker
        return _NOTHING
    if not personal:
        _answers[key] = now, answer
    return answer


_Answer = tuple[Binary | None, str | None]
_NOTHING: Final[_Answer] = (None, None)
_answers: Final[TTLCache[tuple[object, ...], tuple[int, _Answer]]] = TTLCache(_ENTRIES, _SECONDS)


class Files:
    """Put the files that ``look_up`` finds into failures."""

    def __init__(self) -> None:
        self._enricher = Enricher()

    def complete(self, failure: ExecFailure | Occurrence, now: int) -> ExecFailure | Occurrence:
        """Return the failure with its file and interpreter; see ``look_up``."""
        answer = look_up(failure, now)
        first = failure.template
        binary, interpreter = answer
        if first.binary is not None:
            binary, interpreter = _joined(first.binary, binary, interpreter)
        interpreter = first.interpreter_path or interpreter
        if binary is None and interpreter is None:
            return failure
        return self._enricher.enrich(failure, answer, binary=binary, interpreter_path=interpreter)


def _joined(kernel: Binary, found: Binary | None, interpreter: str | None) -> tuple[Binary, str | None]:
    """Return the file that the kernel opened, completed by what is at its path if that is the same file."""
    identity = (kernel.device_id, kernel.inode_number, kernel.ctime)
    if found is None or (found.device_id, found.inode_number, found.ctime) != identity:
        return kernel, None
    return (kernel if kernel.path is not None else replace(kernel, path=found.path)), interpreter


def _place(record: ExecFailure) -> tuple[tuple[object, ...], bool]:
    """Return what the answer depends on, and whether it depends on the process itself, too."""
    where: tuple[object, ...] = (_always(record),)
    if record.mount_ns != own_mount_ns():
        where = (*where, _abroad(record))
    if (record.path or "").startswith("/"):
        return where, False
    return (*where, _relative(record)), record.cwd is None or record.dirfd not in (None, AT_FDCWD)


_always: Final = CACHED_LOOKUP.key()
_abroad: Final = CACHED_LOOKUP.key_if(ABROAD)
_relative: Final = CACHED_LOOKUP.key_if(RELATIVE)
_of_process: Final = CACHED_LOOKUP.key_if(OF_PROCESS)
_where_to_look: Final = IdentityMemo(_place)


def _look_up(record: ExecFailure) -> tuple[_Answer, bool]:
    caller_root = reach(record)
    if caller_root is None:
        return _NOTHING, False
    with caller_root:
        resolved = look_at_target(record, caller_root, caller_root.context(record))
    if resolved is None or resolved.file is None:
        return _NOTHING, resolved is not None and resolved.resolution.personal
    return (resolved.file.binary(), resolved.file.interpreter), resolved.resolution.personal


def _file(descriptor: int, resolution: Resolution, thorough: bool) -> File:
    step = resolution.steps[-1]
    shebang = elf = acl = capability = head = None
    if step.may_read and stat.S_ISREG(step.stat.st_mode):
        head, shebang, elf = _content(descriptor)
    if thorough and step.may_read and not stat.S_ISLNK(step.stat.st_mode):
        acl = extended_attribute(descriptor, "system.posix_acl_access")
        capability = extended_attribute(descriptor, "security.capability")
    return File(resolution.path, step.stat, step.mount, head, shebang, elf, acl, capability)


def _content(descriptor: int) -> tuple[bytes | None, Shebang | None, Elf | None]:
    """Return the first bytes of a regular file, and its ``#!`` line or ELF header."""
    try:
        # O_NONBLOCK: do not wait for a lease that another process holds on the file.
        reading = os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None, None, None
    try:
        read = functools.partial(_read_at, reading, own_time() + READ_SECONDS)
        head = read(HEAD_BYTES, 0)
        return head, read_shebang(head), read_elf(head, read)
    except OSError:
        return None, None, None
    finally:
        os.close(reading)


def _read_at(descriptor: int, deadline: float, count: int, offset: int) -> bytes:
    """Read some bytes of a file; none at an offset that no file has, which a broken header can name.

    Bytes that are not in memory are requested and waited for here, not in the kernel: there a writer who
    holds the file's lock (XFS has one) could delay the reader for as long as the writer's own memory takes to
    arrive.

    Raises:
        OSError: The file cannot be read, or not in time.
    """
    if offset >= _NO_OFFSET:
        return b""
    buffer = memoryview(bytearray(count))
    done, pause = 0, 0.0005
    while done < count:
        try:
            read = os.preadv(descriptor, [buffer[done:]], offset + done, os.RWF_NOWAIT)
            if read == 0:
                break
            done += read
        except BlockingIOError:
            if own_time() > deadline:
                raise
            os.posix_fadvise(descriptor, offset, count, os.POSIX_FADV_WILLNEED)
            time.sleep(pause)
            pause = min(2 * pause, 0.02)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL):
                raise
            return os.pread(descriptor, count, offset)
    return bytes(buffer[:done])
