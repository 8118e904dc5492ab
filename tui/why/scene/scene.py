"""The scene of a failed exec: what can be seen of it now, looked at once, when a cause asks for it.

A look takes bounded time: every step checks the deadline, of a file only the first KiB are read, and lists of
processes and directory entries end at a limit.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Iterator
from types import TracebackType
from typing import Final

from execwhy.bpf.caller.caller_root import AT_FDCWD, reach, start_of
from execwhy.bpf.caller.lookup import AT_EMPTY_PATH, File, ResolvedFile, look_at, look_at_target
from execwhy.bpf.caller.mountinfo import Mount
from execwhy.bpf.caller.own_time import own_time
from execwhy.bpf.caller.resolution import Step
from execwhy.bpf.events.record import Diagnosis, ExecFailure
from execwhy.tui.why.registry import declared
from execwhy.tui.why.scene import starts, words
from execwhy.tui.why.scene.changes import Changes
from execwhy.tui.why.scene.credentials import Credentials, Verdict
from execwhy.tui.why.scene.files import Interpreter
from execwhy.tui.why.scene.moment import Moment
from execwhy.tui.why.scene.proc import CallerProcess
from execwhy.tui.why.scene.proof.looks import Looks
from execwhy.tui.why.scene.proof.names import changed_shortly_before

SECONDS: Final = 0.25
"""Time limit of the looks for one diagnosis."""

MAX_INTERPRETERS: Final = 5
"""How many interpreters may follow each other (exec_binprm, fs/exec.c)."""


class Scene:
    """What the causes of one failed exec are found from. A context manager.

    Attributes:
        record: The failed exec.
        process: What /proc shows of the caller.
        credentials: The caller's credentials for file permissions.
        caller_root: The caller's root directory and mounts; None if neither can be reached.
        doubts: Reasons for which a cause that is found from now on is not certain, a sentence each.
        changes: Changes on the way since the exec or at about its time that may have been the cause, a
            sentence each.
        way_has_changed: Whether one of ``changes`` is surely from after the exec.
    """

    def __init__(self, record: ExecFailure, seconds: float = SECONDS) -> None:
        self.record = record
        self.doubts: list[str] = []
        self.changes: list[str] = []
        self.way_has_changed = False
        self.process = CallerProcess(record)
        self._deadline = own_time() + seconds
        self.caller_root = reach(record)
        try:
            self._begin(record)
        except BaseException:
            self.__exit__(None, None, None)
            raise

    def _begin(self, record: ExecFailure) -> None:
        moment = Moment.of(record)
        self._changes = Changes(record, moment)
        self._looks = Looks(record, self.caller_root, moment)
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
                self.credentials,
                uid_ranges=self.process.ids("uid_map"),
                gid_ranges=self.process.ids("gid_map"),
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
        """Whether the deadline has passed."""
        return own_time() > self._deadline

    @property
    def later(self) -> str:
        """How long after the exec this look is: "40 ms later"."""
        return self._changes.later

    @functools.cached_property
    def who(self) -> str:
        """The user for whom the kernel checked file permissions, as a sentence names it."""
        uid = self.record.fsuid
        return words.user(uid) if self.caller_root is not None and self.caller_root.own else f"uid {uid}"

    def owner(self, status: os.stat_result) -> str:
        """Return the owner of an inode, by name if the caller has this host's users."""
        own = self.caller_root is not None and self.caller_root.own
        return words.user(status.st_uid) if own else f"uid {status.st_uid}"

    @functools.cached_property
    def target(self) -> ResolvedFile | None:
        """What the caller's path leads to; None if it is not known where the path begins."""
        if self.caller_root is None:
            return None
        context = self.caller_root.context(self.record, self._deadline, with_acls=True)
        resolved = look_at_target(self.record, self.caller_root, context, thorough=True)
        binary = self.record.binary
        path = None if binary is None else binary.path
        if resolved is None and binary is not None and path is not None and path.startswith("/"):
            # The descriptor is gone with its owner, but the kernel knew the file's path.
            found = look_at(self.caller_root, context, path, thorough=True)
            if found.file is not None and found.file.stat.st_ino == binary.inode_number:
                resolved = found
        if resolved is not None:
            self._looks.add(resolved)
            if not resolved.resolution.asked.startswith("/"):
                self._add_start(resolved, self.by_descriptor)
        return resolved

    def mount_of(self, mount_id: int) -> Mount | None:
        """Return a mount that the caller can reach, by its id."""
        return None if self.caller_root is None else self.caller_root.mounts.get(mount_id)

    def look(self, path: str) -> ResolvedFile | None:
        """Return what another path leads to for the caller. A relative path begins at its working directory.

        Every cause that is found from now on rests on this, too.
        """
        resolved = self.aside(path)
        if resolved is not None:
            self._looks.add(resolved)
            if not path.startswith("/"):
                self._add_start(resolved, by_descriptor=False)
        return resolved

    def aside(self, path: str) -> ResolvedFile | None:
        """Return what a path leads to for advice or a remark, on which no cause rests."""
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
        """The interpreters from the file on, each named by the one before, as far as they can be followed."""
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
        """Yield the file and those of its interpreters that exist."""
        if self.target is not None and self.target.file is not None:
            yield self.target.file
        for interpreter in self.interpreters:
            if interpreter.resolved is not None and interpreter.resolved.file is not None:
                yield interpreter.resolved.file

    @property
    def by_descriptor(self) -> bool:
        """Whether the path begins at a descriptor that was passed to execveat."""
        record = self.record
        if record.dirfd is None or record.dirfd == AT_FDCWD or record.path is None:
            return False
        return not record.path.startswith("/") and bool(record.path or (record.flags or 0) & AT_EMPTY_PATH)

    def has_changed(self, status: os.stat_result) -> bool:
        """Return whether the inode has surely changed since the exec, not perhaps right before it."""
        return self._changes.is_certain(status)

    def changed(self, path: str, status: os.stat_result) -> str | None:
        """Return a sentence unless the inode has surely not changed since the exec."""
        return self._changes.doubt(path, status)

    def note_permissions(self, step: Step) -> None:
        """Let the causes from now on rest on the permissions of a directory that lets the caller in.

        A new entry changes mtime and ctime of the directory; a chmod or chown changes the ctime alone.
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
        """Let the causes from now on rest on what decided whether the caller may enter or execute a path."""
        if verdict.by_namespace:
            self.doubts.append(
                f"Whether a capability counts for {words.quoted_briefly(path)} depends on the user namespace,"
                " which is known only as it is at the look."
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
        """Return a diagnosis, which is certain if all that was looked at is proven to be what the kernel met.

        See ``proof`` for how that is proven.

        Args:
            code: A code that a cause has declared.
            summary: One sentence.
            brief: The cause in a few words, for a row of the table.
            evidence: Facts that were looked at, a sentence each.
            advice: What to do about it, or None.
            lacking: What else is missing for certainty, or None.

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
        """Return where the paths begin, if that is not our root directory and one of them was looked at."""
        if self.caller_root is None or not self.caller_root.base or not self._looks.any_of_paths:
            return ()
        return (f"The paths begin at the caller's root directory {words.quoted(self.caller_root.base)}.",)

    def _add_root(self) -> None:
        """Let all causes rest on the way to the caller's root directory, if it has changed that (chroot)."""
        caller_root = self.caller_root
        if caller_root is None or not caller_root.base:
            return
        if not caller_root.own:
            self.doubts.append(
                f"The way to the root directory {words.quoted(caller_root.base)} was not looked at."
            )
            return
        way = starts.way_to_root(caller_root, self._deadline)
        self._looks.add_root(way)
        self._doubt(starts.doubt_of_root(caller_root, way))

    def _add_start(self, resolved: ResolvedFile, by_descriptor: bool) -> None:
        """Let all causes from now on rest on the way to where a relative path began."""
        cwd = self.record.cwd
        if by_descriptor:
            self._looks.add_open(resolved)
        elif cwd is None or not cwd.startswith("/"):
            self._doubt("The working directory is the caller's at the look, which may have changed it since.")
        elif (way := self.aside(cwd)) is not None:
            self._looks.add(way)
            self._doubt(starts.doubt_of_cwd(cwd, resolved.resolution.steps[0], way))

    def _doubt(self, sentence: str | None) -> None:
        if sentence is not None:
            self.doubts.append(sentence)
