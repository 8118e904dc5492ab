"""The scene of a failed exec: what can be seen of it now, looked at once and only where it is asked for.

A look costs bounded time: every step checks the deadline, files are read a few KiB deep, and lists of
processes and directory entries end at a limit.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import stat
from collections.abc import Iterator
from types import TracebackType
from typing import Final

from execwhy.bpf.caller.caller_root import AT_FDCWD, caller_of, reach, start_of, start_of_thread
from execwhy.bpf.caller.lookup import AT_EMPTY_PATH, File, ResolvedFile, look_at, look_at_target
from execwhy.bpf.caller.mounts import Mount
from execwhy.bpf.caller.own_time import own_time
from execwhy.bpf.caller.walk import End, Step, WalkContext
from execwhy.bpf.events import clock
from execwhy.bpf.events.record import Diagnosis, ExecFailure
from execwhy.tui.why.registry import declared
from execwhy.tui.why.scene import words
from execwhy.tui.why.scene.credentials import ALL_IDS, Credentials, Ranges, Verdict
from execwhy.tui.why.scene.moment import Moment
from execwhy.tui.why.scene.proof import NOT_SEEN, Looks, changed_shortly_before

SECONDS: Final = 0.25
"""How long one diagnosis may look around."""

MAX_INTERPRETERS: Final = 5
"""How many interpreters may follow each other (exec_binprm, fs/exec.c)."""

_PROC_BYTES: Final = 16384
_DELETED: Final = " (deleted)"


class Scene:
    """Everything about one failed exec that its causes are made out from. A context manager.

    Attributes:
        record: The failed exec.
        credentials: The caller's, as far as file permissions go.
        caller_root: The view of the caller's files; None where nothing of it is left.
        doubts: What makes the present sight of the files worth less, one sentence each.
        changes: What has changed on the way since the exec or at about its time, and may have been the cause,
            likewise.
        way_has_changed: One of ``changes`` is surely from after the exec.
    """

    def __init__(self, record: ExecFailure, seconds: float = SECONDS) -> None:
        self.record = record
        self.doubts: list[str] = []
        self.changes: list[str] = []
        self.way_has_changed = False
        self._deadline = own_time() + seconds
        self.caller_root = reach(record)
        try:
            self._begin(record)
        except BaseException:
            self.__exit__(None, None, None)
            raise

    def _begin(self, record: ExecFailure) -> None:
        self._moment = Moment.of(record)
        self._looks = Looks(record, self.caller_root, self._moment)
        if self.caller_root is not None and self.caller_root.assumed:
            self.doubts.append("The caller's mount namespace is not known; our own was looked at.")
        if record.path is None:
            self.doubts.append("The path could not be read.")
        elif not record.path_is_proven:
            self.doubts.append("The path was read from the caller's memory, which others could change.")
        self._add_root()
        self.credentials = Credentials.of(record)
        if record.foreign_user_ns:
            self.credentials = dataclasses.replace(
                self.credentials, uid_ranges=self._ranges("uid_map"), gid_ranges=self._ranges("gid_map")
            )

    def __enter__(self) -> Scene:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.caller_root is not None:
            os.close(self.caller_root.root)

    @property
    def out_of_time(self) -> bool:
        """The deadline has passed."""
        return own_time() > self._deadline

    @functools.cached_property
    def caller(self) -> str | None:
        """The caller's "/proc/PID" while it lives."""
        return caller_of(self.record)

    @functools.cached_property
    def limits(self) -> str | None:
        """The caller's resource limits as /proc/PID/limits has them, until its parent has waited for it."""
        remains = caller_of(self.record, even_dead=True)
        return None if remains is None else read_proc(f"{remains}/limits")

    @functools.cached_property
    def later(self) -> str:
        """How long after the exec this look is: "40 ms later"."""
        return f"{words.span(clock.now() - self.record.timestamp)} later"

    @functools.cached_property
    def who(self) -> str:
        """The caller, by the user that file permissions are checked for."""
        uid = self.record.fsuid
        return words.user(uid) if self.caller_root is not None and self.caller_root.own else f"uid {uid}"

    def owner(self, status: os.stat_result) -> str:
        """The owner of an inode, by name where the name is one of this host."""
        own = self.caller_root is not None and self.caller_root.own
        return words.user(status.st_uid) if own else f"uid {status.st_uid}"

    @functools.cached_property
    def thread(self) -> str | None:
        """The "/proc/PID/task/TID" of the thread that called, while it lives.

        Filters, tracers and capabilities are a thread's own. One that began after the exec has only its id.
        """
        if self.caller is None:
            return None
        thread = f"{self.caller}/task/{self.record.tid or self.record.pid}"
        began = start_of_thread(thread)
        return None if began is None or began > self.record.timestamp - clock.boot_time() else thread

    def of_caller(self, name: str) -> str | None:
        """A file of the calling thread's /proc directory, such as "status"; None where it is gone."""
        return read_proc(f"{self.thread}/{name}") if self.thread is not None else None

    @functools.cached_property
    def has_all_ids_now(self) -> bool:
        """The caller is at the look in the first user namespace, or in one that has as many ids."""
        ranges = self._ranges("uid_map")
        return ranges is not None and sum(count for _, count in ranges) >= ALL_IDS

    @functools.cached_property
    def target(self) -> ResolvedFile | None:
        """What the caller's path leads to; None where it is not known where it begins."""
        if self.caller_root is None:
            return None
        context = self.caller_root.context(self.record, self._deadline, with_acls=True)
        resolved = look_at_target(self.record, self.caller_root, context, thorough=True)
        binary = self.record.binary
        if (
            resolved is None
            and binary is not None
            and binary.path is not None
            and binary.path.startswith("/")
        ):
            # The descriptor is gone with its owner, but the kernel knew the file's path.
            found = look_at(self.caller_root, context, binary.path, thorough=True)
            if found.file is not None and found.file.stat.st_ino == binary.inode_number:
                resolved = found
        if resolved is not None:
            self._looks.add(resolved)
            if not resolved.resolution.asked.startswith("/"):
                self._add_start(resolved, self.by_descriptor)
        return resolved

    def mount_of(self, mount_id: int) -> Mount | None:
        """A mount that the caller can reach, by its id."""
        return None if self.caller_root is None else self.caller_root.mounts.get(mount_id)

    def look(self, path: str) -> ResolvedFile | None:
        """What another path leads to for the caller: a relative one begins at its working directory.

        Every cause that is found from then on rests on it as well.
        """
        resolved = self.aside(path)
        if resolved is not None:
            self._looks.add(resolved)
            if not path.startswith("/"):
                self._add_start(resolved, by_descriptor=False)
        return resolved

    def aside(self, path: str) -> ResolvedFile | None:
        """The same for an advice or a remark, on which no cause rests."""
        if self.caller_root is None:
            return None
        context = self.caller_root.context(self.record, self._deadline, with_acls=True)
        if path.startswith("/"):
            return look_at(self.caller_root, context, path, thorough=True)
        start = start_of(dataclasses.replace(self.record, dirfd=None), self.caller_root)
        if start is None:
            return None
        try:
            return look_at(self.caller_root, context, path, start, thorough=True)
        finally:
            os.close(start[0])

    @functools.cached_property
    def interpreters(self) -> tuple[Interpreter, ...]:
        """The interpreters that follow from the file, each named by the one before, as far as they go."""
        found: list[Interpreter] = []
        file = self.target.file if self.target is not None else None
        while file is not None and file.interpreter is not None and len(found) <= MAX_INTERPRETERS:
            self._looks.add_content(file)
            resolved = self.look(file.interpreter)
            found.append(Interpreter(file, file.interpreter, resolved))
            if file.elf is not None:
                break
            file = resolved.file if resolved is not None else None
        return tuple(found)

    def files(self) -> Iterator[File]:
        """The file and its interpreters, as far as they exist."""
        if self.target is not None and self.target.file is not None:
            yield self.target.file
        for interpreter in self.interpreters:
            if interpreter.resolved is not None and interpreter.resolved.file is not None:
                yield interpreter.resolved.file

    @property
    def by_descriptor(self) -> bool:
        """The path begins at a descriptor of execveat."""
        record = self.record
        if record.dirfd is None or record.dirfd == AT_FDCWD or record.path is None:
            return False
        return not record.path.startswith("/") and bool(record.path or (record.flags or 0) & AT_EMPTY_PATH)

    def has_changed(self, status: os.stat_result) -> bool:
        """Whether the inode has surely changed since the exec, and not at about its time, perhaps before."""
        ctime, binary = status.st_ctime_ns, self.record.binary
        if binary is not None and binary.inode_number == status.st_ino:
            return binary.ctime != ctime or (binary.source != "kernel" and self._moment.is_changed(ctime))
        return self._moment.is_changed(ctime)

    def changed(self, path: str, status: os.stat_result) -> str | None:
        """A sentence unless the inode has surely not changed since the exec."""
        shown = words.quoted_briefly(path)
        ctime, binary = status.st_ctime_ns, self.record.binary
        if self._moment.is_changed(ctime):
            kernels = binary is not None and binary.source == "kernel"
            if (
                binary is not None
                and kernels
                and (binary.inode_number, binary.ctime) == (status.st_ino, ctime)
            ):
                return f"The ctime of {shown} lies after the exec, so the clock was set since."
            return f"{shown} has changed since the exec, when looked at {self.later}."
        if binary is not None and binary.inode_number == status.st_ino and binary.ctime != ctime:
            return f"{shown} has changed since the exec (another ctime {self.later})."
        if not self._moment.is_unchanged(ctime):
            return f"{shown} changed at about the time of the exec."
        return None

    def note_permissions(self, step: Step) -> None:
        """Have the causes from now on rest on the permissions of a directory that lets the caller in.

        New entries change its mtime together with its ctime; a chmod or chown changes the ctime alone.
        """
        sentence = self.changed(step.path, step.stat)
        if sentence is None:
            if self._looks.may_be_closed(step):
                self.doubts.append(changed_shortly_before(step.path))
            return
        if step.stat.st_ctime_ns != step.stat.st_mtime_ns:
            self.changes.append(sentence)
            self.way_has_changed = self.way_has_changed or self.has_changed(step.stat)
        elif self._looks.may_be_closed(step):
            self.doubts.append(sentence)

    def note_verdict(self, path: str, verdict: Verdict) -> None:
        """Have the causes from now on rest on what decided whether the caller may enter or execute it."""
        if verdict.by_namespace:
            self.doubts.append(
                f"Whether a capability counts for {words.quoted_briefly(path)} depends on the user namespace,"
                " and of that only what it is at the look is known."
            )

    def diagnosis(
        self,
        code: str,
        summary: str,
        brief: str,
        *evidence: str,
        advice: str | None = None,
        lacking: str | None = None,
    ) -> Diagnosis:
        """A cause: certain if all that was looked at until now is proven to be what the kernel met.

        See ``proof`` for what is proven how. ``lacking`` says what else is missing for certainty, where
        something is: each diagnosis that is not certain says why.

        Raises:
            ValueError: No cause has declared the code.
        """
        if code not in declared():
            raise ValueError(f"no cause declares {code}")
        doubts = [change for file in self._looks.files() if (change := self.changed(file.path, file.stat))]
        doubts += self._looks.doubts(self.later)
        doubts += [*self.changes, *self.doubts, *(() if lacking is None else (lacking,))]
        return Diagnosis(
            code=code,
            summary=words.sentence(summary),
            evidence=tuple(dict.fromkeys((*evidence, *self._root_words(), *map(words.doubt, doubts)))),
            advice=advice,
            certain=not doubts,
            brief=brief,
        )

    def _root_words(self) -> tuple[str, ...]:
        """Say where the paths begin, if that is not our root directory and any of them was looked at."""
        if self.caller_root is None or not self.caller_root.base or not self._looks.any_of_paths:
            return ()
        return (f"The paths begin at the caller's root directory {words.quoted(self.caller_root.base)}.",)

    def _add_root(self) -> None:
        """Rest on the way to the caller's root directory, where that is below another one."""
        caller_root = self.caller_root
        if caller_root is None or not caller_root.base:
            return
        if not caller_root.own:
            self.doubts.append(
                f"The way to the root directory {words.quoted(caller_root.base)} was not looked at."
            )
            return
        top = os.open("/", os.O_PATH | os.O_CLOEXEC)
        try:
            resolved = look_at(
                caller_root, WalkContext(top, caller_root.mounts, deadline=self._deadline), caller_root.base
            )
        finally:
            os.close(top)
        self._looks.add_root(resolved)
        if resolved.resolution.end in NOT_SEEN:
            return
        if resolved.file is None or not os.path.samestat(resolved.file.stat, os.fstat(caller_root.root)):
            self.doubts.append(f"The way to the root directory {words.quoted(caller_root.base)} has changed.")

    def _add_start(self, resolved: ResolvedFile, by_descriptor: bool) -> None:
        """Rest on the way to where a relative path began."""
        begin, cwd = resolved.resolution.steps[0], self.record.cwd
        if by_descriptor:
            self._looks.add_open(resolved)
            return
        if cwd is None or not cwd.startswith("/"):
            self.doubts.append("The working directory was asked of the caller, which may have left it since.")
            return
        found = self.aside(cwd)
        if found is None:
            return
        self._looks.add(found)
        if found.resolution.end in NOT_SEEN:
            return
        if cwd.endswith(_DELETED) and not begin.stat.st_nlink:
            # Nothing is found in any directory that was removed. But it may not be one.
            if found.file is not None:
                self.doubts.append(f"There is a directory whose name is {words.quoted(cwd)}.")
        elif found.file is None or not os.path.samestat(found.file.stat, begin.stat):
            self.doubts.append(f"The working directory is not {words.quoted(cwd)} any more.")

    def _ranges(self, name: str) -> Ranges | None:
        """The ids of the caller's user namespace, in terms of ours."""
        text = self.of_caller(name)
        if text is None:
            return None
        rows = [line.split() for line in text.splitlines()]
        return tuple((int(row[1]), int(row[2])) for row in rows if len(row) == 3)


@dataclasses.dataclass(frozen=True, slots=True)
class Interpreter:
    """An interpreter that a file names.

    Attributes:
        of: The file that names it.
        path: The path as it is named there.
        resolved: What that leads to; None where it could not be looked at.
    """

    of: File
    path: str
    resolved: ResolvedFile | None

    @property
    def kind(self) -> str:
        """How it is named: "interpreter" in a ``#!`` line, "ELF interpreter" in PT_INTERP."""
        return "ELF interpreter" if self.of.elf is not None else "interpreter"


def is_regular(file: File) -> bool:
    """It is a regular file."""
    return stat.S_ISREG(file.stat.st_mode)


def is_found(resolved: ResolvedFile | None) -> bool:
    """The walk reached its end."""
    return resolved is not None and resolved.resolution.end is End.FOUND


def read_proc(path: str) -> str | None:
    """The beginning of a file of /proc or /sys; None where it cannot be read."""
    try:
        with open(path, "rb", buffering=0) as file:
            return os.fsdecode(file.read(_PROC_BYTES))
    except OSError:
        return None
