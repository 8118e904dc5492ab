"""What a scene has looked at, and what of that is not proven to have been the same at the exec."""

from __future__ import annotations

import stat
from collections.abc import Iterator

from execwhy.bpf.caller.caller_root import CallerRoot
from execwhy.bpf.caller.lookup import File, ResolvedFile
from execwhy.bpf.caller.resolution import Step
from execwhy.bpf.events.record import ExecFailure
from execwhy.tui.why.scene.moment import Moment
from execwhy.tui.why.scene.mounts import never_executes
from execwhy.tui.why.scene.proof import content, mounted, names


class Looks:
    """All that a scene has looked at."""

    def __init__(self, record: ExecFailure, caller_root: CallerRoot | None, moment: Moment) -> None:
        self._record = record
        self._caller_root = caller_root
        self._moment = moment
        self._resolved: list[ResolvedFile] = []
        self._begin_open: list[ResolvedFile] = []
        self._naming: list[File] = []
        self._to_root: ResolvedFile | None = None

    @property
    def any_of_paths(self) -> bool:
        """Whether any path was walked, other than the one to the root directory."""
        return any(resolved is not self._to_root for resolved in self._resolved)

    def add_root(self, resolved: ResolvedFile) -> None:
        """Let all causes rest on the walk to the caller's root directory."""
        self._to_root = resolved
        self.add(resolved)

    def add(self, resolved: ResolvedFile) -> None:
        """Let the causes that are found from now on rest on this walk, too."""
        self._resolved.append(resolved)

    def add_open(self, resolved: ResolvedFile) -> None:
        """Note that a walk began at a descriptor of the caller's."""
        self._begin_open.append(resolved)

    def add_content(self, file: File) -> None:
        """Note that what was looked at next is named in a file's content."""
        self._naming.append(file)

    def files(self) -> Iterator[File]:
        """Yield the regular files that were found, except the kernel's, whose ctime is of their first use."""
        for resolved in self._resolved:
            if resolved.file is not None and _is_regular(resolved) and not never_executes(resolved.file):
                yield resolved.file

    def doubts(self, later: str) -> Iterator[str]:
        """Yield what is not proven of the walks, the files and the mounts, a sentence each."""
        denied = self._record.error in ("EACCES", "EPERM")
        proven = True
        for resolved in self._resolved:
            if not self._is_the_kernels(resolved.file):
                proven = False
                if any(resolved is one for one in self._begin_open):
                    yield f"What file descriptor {self._record.dirfd} is was looked at {later}."
                yield from names.doubts(resolved.resolution, self._moment, later)
            if resolved.file is None or not _is_regular(resolved):
                continue
            if denied:
                yield from self._of_permissions(resolved.file)
            if self._has_content(resolved.file):
                yield from self._of_content(resolved.file)
        if not proven and self._record.shared_directories:
            yield (
                "Another task may have shared the caller's working and root directory, and changed them"
                " during the exec."
            )
        if self._resolved and self._caller_root is not None and (denied or not proven):
            steps = (step for resolved in self._resolved for step in resolved.resolution.steps)
            yield from mounted.doubts(self._record, self._caller_root, self._moment, steps, later)

    def may_be_closed(self, step: Step) -> bool:
        """Return whether a directory may have had other permissions, though its last change was of an entry.

        A new or removed entry sets ctime and mtime, a chmod the ctime alone. Its owner can hide a chmod by
        making an entry. Root is trusted not to, because its /tmp changes all the time.
        """
        return step.stat.st_uid != 0 and not self._moment.is_long_unchanged(step.stat.st_ctime_ns)

    def _is_the_kernels(self, file: File | None) -> bool:
        """Return whether it is the inode that the kernel had open."""
        binary = self._record.binary
        if file is None or binary is None or binary.source != "kernel":
            return False
        return (binary.inode_number, binary.device_id, binary.ctime, binary.inode_mode) == (
            file.stat.st_ino,
            file.device_id,
            file.stat.st_ctime_ns,
            file.stat.st_mode,
        )

    def _of_permissions(self, file: File) -> Iterator[str]:
        """Yield why the owner may have changed a file's permissions only after the exec.

        If the cause lies further on, it only counts that the permissions of the kernel's file let the caller
        in.
        """
        ctime = file.stat.st_ctime_ns
        if file.stat.st_uid == 0 or (self._names_another(file) and self._is_the_kernels(file)):
            return
        if self._moment.is_unchanged(ctime) and not self._moment.is_long_unchanged(ctime):
            yield names.changed_shortly_before(file.path)

    def _of_content(self, file: File) -> Iterator[str]:
        mounts = None if self._caller_root is None else self._caller_root.mounts
        below: frozenset[str] | None = frozenset()
        if mounts is not None and file.mount is not None:
            below = mounts.types_below(file.mount)
        return content.doubts(file, was_opened=self._was_opened(file), below=below)

    def _has_content(self, file: File) -> bool:
        """Return whether causes rest on a file's content; after an EACCES, only if it names another file."""
        return self._record.error != "EACCES" or self._names_another(file)

    def _names_another(self, file: File) -> bool:
        return any(file is one for one in self._naming)

    def _was_opened(self, file: File) -> bool:
        """Return whether the kernel had surely opened a file for the exec, so that nobody was writing it."""
        return self._record.error not in ("EACCES", "EPERM") or self._is_the_kernels(file)


def _is_regular(resolved: ResolvedFile) -> bool:
    return resolved.file is not None and stat.S_ISREG(resolved.file.stat.st_mode)
