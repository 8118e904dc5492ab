"""What to do about a missing file: the nearest name that exists.

Only what was seen is suggested: it lies beside the missing name or in a directory of the system, and the
caller may execute it. For interpreters whose package has their name, installing it is suggested, too.
"""

from __future__ import annotations

import os
import re
import stat
from functools import partial
from typing import Final

from cachetools import TTLCache

from execwhy.bpf.caller.lookup import File, ResolvedFile
from execwhy.bpf.caller.own_time import own_time
from execwhy.bpf.caller.resolution import End, Resolution, Step, WalkContext
from execwhy.bpf.caller.walk import walk
from execwhy.bpf.events.record import ExecFailure
from execwhy.tui.why.causes import advise
from execwhy.tui.why.causes.absent import loaders
from execwhy.tui.why.causes.absent.nearest import NEAREST_SECONDS, distance, nearest
from execwhy.tui.why.registry import Reading
from execwhy.tui.why.scene.credentials import may_execute
from execwhy.tui.why.scene.mounts import forbids_exec
from execwhy.tui.why.scene.scene import Scene

MAX_ENTRIES: Final = 20_000
"""Directory entries that are compared; /usr/bin has a few thousand."""

MAX_PATH_DIRECTORIES: Final = 16
_PLAIN: Final = re.compile(r"[\w/.+-]+", re.ASCII)
"""Paths without special characters of sed."""

DEFAULT_PATH: Final = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"

SYSTEM_DIRECTORIES: Final = frozenset(DEFAULT_PATH.split(":"))
"""Directories of PATH from which programs are suggested: a user's own directory is for that user alone."""

_SHIMS: Final = "shims"
"""The directory of pyenv, rbenv, nodenv, asdf and mise for programs that fail without their setup."""

_MOST_TRIED: Final = 4
"""Near names that are tried until the caller may execute one."""


def for_missing(scene: Scene, resolution: Resolution, *, roots_own: bool = False) -> str | None:
    """Suggest a program of the same name in PATH, or the nearest name in the directory, or in PATH.

    A near name is sought in PATH only if the missing one was looked for there: otherwise both its directory
    and its name would have to be wrong.

    Args:
        scene: The failed exec.
        resolution: How its path was resolved.
        roots_own: Suggest only what root alone decides, because a file of root's may get the name.
    """
    directory, name = os.path.split(resolution.path)
    elsewhere = _on_path(scene, name, exactly=True)
    if elsewhere is not None and elsewhere != resolution.path:
        mentioned = advise.mention(scene, elsewhere, roots_own=roots_own)
        return None if mentioned is None else f"There is a program of that name: {mentioned}."
    beside = partial(in_directory, scene, resolution, roots_own=roots_own)
    if {directory, os.path.dirname(resolution.asked)}.isdisjoint(_path(scene)):
        return beside()
    on_path = partial(_on_path, scene, name, exactly=False)
    if program_name(scene.record) == name:
        # Probably one try of a search: all tries get the same suggestion, the first program of PATH.
        return _mean(scene, on_path(), roots_own=roots_own) or beside()
    return beside() or _mean(scene, on_path(), roots_own=roots_own)


def in_directory(scene: Scene, resolution: Resolution, *, roots_own: bool = False) -> str | None:
    """Suggest the nearest name in the directory in which the walk ended."""
    directory, name = os.path.split(resolution.path)
    near = _nearest_in(scene, directory, name, programs=not resolution.left)
    return _mean(scene, near, roots_own=roots_own)


def for_link(scene: Scene, resolution: Resolution, link: Step) -> str | None:
    """Suggest where a dangling link may have been meant to lead: to the nearest name."""
    directory, name = os.path.split(resolution.path)
    found = None if resolution.left else _nearest_in(scene, directory, name, programs=True)
    if found is None:
        return in_directory(scene, resolution)
    meant, change = _mean(scene, found), advise.relinking(scene, link, found)
    return meant if meant is None or change is None else f"{meant} Then `{change}`."


def for_interpreter(scene: Scene, resolution: Resolution, file: File) -> str | None:
    """Suggest what to name in the ``#!`` line instead."""
    name = os.path.basename(resolution.asked)
    found = _on_path(scene, name, exactly=True)
    if found is None and not resolution.left:
        found = _nearest_in(scene, os.path.dirname(resolution.path), name, programs=True)
    found = found or _on_path(scene, name, exactly=False)
    if found is not None:
        return _named_instead(scene, found, resolution.asked, file)
    return loaders.installing(scene, resolution.asked)


def _named_instead(scene: Scene, found: str, asked: str, file: File) -> str | None:
    if _PLAIN.fullmatch(found) and _PLAIN.fullmatch(asked) and advise.mention(scene, found, roots_own=True):
        change = f"If {found} is meant, name that: `sed -i '1s|{asked}|{found}|' {{}}`."
        by_command = advise.command(scene, file, change)
        if by_command is not None:
            return by_command
    mentioned = advise.mention(scene, found)
    return None if mentioned is None else f"If {mentioned} is meant, name that in the first line."


def _mean(scene: Scene, path: str | None, *, roots_own: bool = False) -> str | None:
    mentioned = None if path is None else advise.mention(scene, path, roots_own=roots_own)
    return None if mentioned is None else f"Did you mean {mentioned}?"


def _on_path(scene: Scene, name: str, exactly: bool) -> str | None:
    """Return a program of that name, or of the nearest one, from the system's directories in PATH."""
    best: tuple[int, str] | None = None
    for directory in _path(scene):
        if directory not in SYSTEM_DIRECTORIES:
            continue
        if exactly:
            path = f"{directory}/{name}"
            if name in _entries(scene, directory, programs=True) and _may_run(scene, path):
                return path
        elif (found := _nearest_in(scene, directory, name, programs=True)) is not None:
            edits = distance(name, os.path.basename(found), 3)
            if best is None or edits < best[0]:
                best = (edits, found)
    return None if best is None else best[1]


def _nearest_in(scene: Scene, directory: str, name: str, programs: bool) -> str | None:
    """Return the path of the nearest name in a directory: an executable program, or a directory."""
    deadline = own_time() + NEAREST_SECONDS
    names = _entries(scene, directory, programs)
    for _ in range(_MOST_TRIED):
        near = nearest(name, names, deadline)
        if near is None:
            break
        path = os.path.join(directory, near)
        if _may_run(scene, path) if programs else _may_search(scene, path):
            return path
        names = tuple(other for other in names if other != near)
    return None


@Reading
def search_path(record: ExecFailure) -> str:
    """Return the PATH of the environment that a record has, or the default one."""
    variables = (variable for variable in record.environment if variable is not None)
    return next((v[5:] for v in variables if v.startswith("PATH=")), DEFAULT_PATH)


@Reading
def program_name(record: ExecFailure) -> str | None:
    """Return argv[0]."""
    return record.arguments[0] if record.arguments else None


READS: Final = (search_path, program_name)
"""What a suggestion reads of the record."""


def _path(scene: Scene) -> list[str]:
    value = search_path(scene.record)
    directories = (part.rstrip("/") for part in value.split(":") if part.startswith("/"))
    return list(dict.fromkeys(directories))[:MAX_PATH_DIRECTORIES]


def _may_run(scene: Scene, path: str) -> bool:
    """Return whether a path leads to a program that the caller may execute, and not through a shim."""
    resolved = scene.aside(path)
    if resolved is None or resolved.file is None or not stat.S_ISREG(resolved.file.stat.st_mode):
        return False
    if any(_SHIMS in step.path.split("/") for step in resolved.resolution.steps):
        return False
    return not forbids_exec(resolved.file) and _is_open(scene, resolved)


def _may_search(scene: Scene, path: str) -> bool:
    """Return whether a path leads to a directory that the caller may search."""
    resolved = scene.aside(path)
    if (
        resolved is None
        or resolved.resolution.end is not End.FOUND
        or not resolved.resolution.steps[-1].is_directory
    ):
        return False
    return _is_open(scene, resolved)


def _is_open(scene: Scene, resolved: ResolvedFile) -> bool:
    """Return whether the caller may execute a file and search every directory on the way."""
    steps = (step for step in resolved.resolution.steps if step.target is None)
    return all(may_execute(scene.credentials, step.stat, step.acl).allowed for step in steps)


def _entries(scene: Scene, directory: str, programs: bool) -> tuple[str, ...]:
    """Return the names in a directory of the caller's, up to ``MAX_ENTRIES``."""
    if scene.caller_root is None or scene.out_of_time:
        return ()
    context: WalkContext = scene.caller_root.context(scene.record)
    resolution, descriptor = walk(context, directory)
    if descriptor < 0:
        return ()
    try:
        if not resolution.may_read:
            return ()
        status = os.fstat(descriptor)
        if not stat.S_ISDIR(status.st_mode):
            return ()
        reading = os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return ()
    finally:
        os.close(descriptor)
    try:
        return _names(reading, status, programs)
    except OSError:
        return ()
    finally:
        os.close(reading)


_Key = tuple[int, int, int, bool]
_listings: Final[TTLCache[_Key, tuple[str, ...]]] = TTLCache(maxsize=64, ttl=60)


def _names(directory: int, status: os.stat_result, programs: bool) -> tuple[str, ...]:
    key = (status.st_dev, status.st_ino, status.st_mtime_ns, programs)
    known = _listings.get(key)
    if known is not None:
        return known
    names: list[str] = []
    with os.scandir(directory) as entries:
        for entry in entries:
            if len(names) >= MAX_ENTRIES:
                break
            if not programs or not entry.is_dir(follow_symlinks=False):
                names.append(entry.name)
    _listings[key] = known = tuple(sorted(names))
    return known
