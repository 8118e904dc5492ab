"""What advice may name: nothing that lets a local user harm the operator who follows it.

Who makes an exec fail chooses its path, its arguments and environment, the name of the process, and the names
and contents of their own files. Who follows the advice is usually root. So a command names a file only if
root alone decides what that file is and what is wrong with it: root's own exec, root's file, directories that
only root may change, our own mount namespace. Otherwise the advice says in words what to do. It mentions a
path without a command if root or the caller alone decides what the path leads to.

If the cause is in doubt, no command is given, whatever it names: every diagnosis passes ``in_doubt``.
Commands without a path, such as one that installs a shell, come from tables of this program.
"""

from __future__ import annotations

import dataclasses
import os
import re
import stat
from collections.abc import Collection, Sequence
from typing import Final

from execwhy.bpf.caller.lookup import File
from execwhy.bpf.caller.resolution import End, Step
from execwhy.bpf.events.record import Diagnosis, ExecFailure
from execwhy.tui.model.text.shell_word import shell_word
from execwhy.tui.why.scene.scene import Scene

ROOT: Final = 0
"""The user who follows the advice; nobody else changes root's files."""

_BY_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH
"""If there is an ACL, the group's bits are its mask, which limits its users and groups."""


_COMMAND: Final = re.compile(r"`[^`]*(?:`|\Z)")
_SENTENCE: Final = re.compile(r"(?<=[.?!]) (?=[A-Z])")


def in_doubt(cause: Diagnosis) -> Diagnosis:
    """Return the diagnosis; unless it is certain, without the sentences of its advice that have a command.

    Who fakes an error by a filter, or plants its evidence, must not choose what root types. Commands are in
    backticks, and nothing else is.
    """
    if cause.certain or cause.advice is None or "`" not in cause.advice:
        return cause
    hidden = _COMMAND.sub(lambda found: "`" * len(found[0]), cause.advice)
    ends = [found.start() for found in _SENTENCE.finditer(hidden)]
    parts = [hidden[begin:end] for begin, end in zip([0, *ends], [*ends, len(hidden)], strict=True)]
    kept = " ".join(part.strip() for part in parts if "`" not in part)
    return dataclasses.replace(cause, advice=kept or None)


def command(scene: Scene, file: File, text: str) -> str | None:
    """Return advice with a command on a file; None if no command may name the file.

    Args:
        scene: The failed exec.
        file: The file, as it was seen.
        text: The advice; ``{}`` in it is replaced by the path, quoted for a shell.
    """
    is_roots = _is_roots_exec(scene) and _only_root_writes(scene, file.path, file.stat)
    word = shell_word(file.path) if is_roots and not file.stat.st_mode & _BY_OTHERS else None
    return None if word is None else text.format(word)


def relinking(scene: Scene, link: Step, target: str) -> str | None:
    """Return the command that lets a link lead to another path; None where none may be named."""
    if not _is_roots_exec(scene) or not _only_root_writes(scene, link.path, link.stat):
        return None
    if not _is_decided_by(scene, target, {0, ROOT}):
        return None
    words = [shell_word(path) for path in (target, link.path)]
    return None if None in words else f"ln -sfn {words[0]} {words[1]}"


def mention(scene: Scene, path: str, *, roots_own: bool = False) -> str | None:
    """Return a path to mention, quoted for a shell; None if others may have chosen what is there.

    Args:
        scene: The failed exec.
        path: A path that leads to something.
        roots_own: Do not trust the caller either, because a file of root's is to name the path.
    """
    trusted = {0, ROOT} if roots_own else {0, ROOT} | _caller(scene.record)
    return shell_word(path) if path.startswith("/") and _is_decided_by(scene, path, trusted) else None


def place(scene: Scene) -> str:
    """Return where the advice applies, if that is not among the operator's own files."""
    if scene.caller_root is None or not scene.caller_root.own:
        return " in the caller's mount namespace"
    return " below the caller's root directory" if scene.caller_root.base else ""


def _caller(record: ExecFailure) -> set[int]:
    """Return the caller's user; nobody if a set-user-ID program gives its powers to another user."""
    users = {record.uid, record.euid, record.fsuid}
    return users if len(users) == 1 else set()


def _is_roots_exec(scene: Scene) -> bool:
    """Return whether it is root's own exec, whose paths lead to the same files for the operator."""
    caller_root = scene.caller_root
    if caller_root is None or not caller_root.own or caller_root.assumed or caller_root.base:
        return False
    return _caller(scene.record) == {ROOT}


def _only_root_writes(scene: Scene, path: str, status: os.stat_result) -> bool:
    """Return whether root alone may change which file or link has this path, which has no link."""
    if not path.startswith("/") or status.st_uid not in (0, ROOT):
        return False
    resolved = scene.aside(os.path.dirname(path))
    if (
        resolved is None
        or resolved.resolution.end is not End.FOUND
        or resolved.resolution.links
        or resolved.resolution.personal
    ):
        return False
    return _are_closed(resolved.resolution.steps, status, {0, ROOT})


def _is_decided_by(scene: Scene, path: str, users: Collection[int]) -> bool:
    """Return whether these users alone decide what a path leads to, over all of its directories and links."""
    resolved = scene.aside(path)
    if resolved is None or resolved.resolution.end is not End.FOUND or resolved.resolution.personal:
        return False
    *way, last = resolved.resolution.steps
    return _are_closed(way, last.stat, users)


def _are_closed(way: Sequence[Step], last: os.stat_result, users: Collection[int]) -> bool:
    """Return whether every step belongs to these users, and nobody else may replace it.

    In a world-writable sticky directory such as /tmp, others cannot replace a directory. But they can make a
    hard link there to a user's file, so no file directly in it counts.
    """
    beneath = [*(step.stat for step in way[1:]), last]
    return last.st_uid in users and all(
        step.stat.st_uid in users
        and (
            not step.is_directory
            or not _is_open(step.stat)
            or bool(step.stat.st_mode & stat.S_ISVTX and stat.S_ISDIR(below.st_mode))
        )
        for step, below in zip(way, beneath, strict=True)
    )


def _is_open(status: os.stat_result) -> bool:
    """Return whether others than its owner may write a directory; a user's own group is the user."""
    private = status.st_uid == status.st_gid and status.st_uid != 0
    return bool(status.st_mode & (stat.S_IWOTH if private else _BY_OTHERS))
