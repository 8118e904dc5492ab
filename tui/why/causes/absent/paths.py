"""Faults on the way to a file: a component that is missing, is no directory or may not be searched."""

from __future__ import annotations

import errno
import os

from execwhy.bpf.caller.lookup import ResolvedFile
from execwhy.bpf.caller.resolution import End, Resolution
from execwhy.bpf.caller.walk import MAX_LINKS, NAME_MAX
from execwhy.bpf.events.record import Diagnosis
from execwhy.tui.why.causes import access, chain
from execwhy.tui.why.causes.absent import as_typed, by_env, loaders, suggestions
from execwhy.tui.why.registry import cause
from execwhy.tui.why.scene import words
from execwhy.tui.why.scene.files import Interpreter
from execwhy.tui.why.scene.scene import Scene


@cause("missing-file", errno.ENOENT, manual="The file does not exist.", reads=suggestions.READS)
@cause(
    "missing-directory",
    errno.ENOENT,
    manual="A directory of the path does not exist; the first one is named.",
    reads=suggestions.READS,
)
@cause(
    "missing-in-working-directory",
    errno.ENOENT,
    manual="The path is relative, and the working directory has no such file.",
    reads=suggestions.READS,
)
@cause(
    "dangling-link",
    errno.ENOENT,
    manual="A symbolic link points to a file that does not exist.",
    reads=suggestions.READS,
)
def missing(scene: Scene, resolved: ResolvedFile, interpreter: Interpreter | None = None) -> Diagnosis | None:
    """Report the first component of a path that does not exist (ENOENT)."""
    resolution = resolved.resolution
    if resolution.end is not End.MISSING:
        return None
    passed = _links(resolution)
    if interpreter is not None:
        return _missing_interpreter(scene, resolution, interpreter, passed)
    shown = words.quoted(resolution.asked)
    broken = resolution.via
    if broken is not None:
        return scene.diagnosis(
            "dangling-link",
            f"{words.quoted(broken.path)} is a link to {words.quoted(broken.target or '')}, but"
            f" {words.quoted(resolution.path)} does not exist.",
            f"dangling link to {broken.target}",
            *passed,
            advice=suggestions.for_link(scene, resolution, broken),
        )
    named_otherwise = _ends_in_cr(scene, resolution) or by_env.missing(scene, resolution)
    named_otherwise = named_otherwise or as_typed.missing(scene, resolution)
    if named_otherwise is not None:
        return named_otherwise
    if resolution.left:
        return scene.diagnosis(
            "missing-directory",
            f"{shown} was not found: its directory {words.quoted(resolution.path)} does not exist.",
            f"missing directory {resolution.path}",
            *passed,
            *_cwd(scene, resolution),
            *as_typed.hint(resolution),
            advice=suggestions.in_directory(scene, resolution),
        )
    if not resolution.asked.startswith("/") and not scene.by_descriptor:
        return scene.diagnosis(
            "missing-in-working-directory",
            f"The path {shown} is relative, and the working directory"
            f" {words.quoted(_where(resolution))} has no"
            f" such file.",
            f"not found in {_where(resolution)}",
            *passed,
            *as_typed.hint(resolution),
            advice=suggestions.for_missing(scene, resolution),
        )
    return scene.diagnosis(
        "missing-file",
        f"{words.quoted(resolution.path)} does not exist{_in_root(scene, '')}.",
        "no such file",
        *passed,
        f"The directory {words.quoted(_where(resolution))} exists and has no entry of that name.",
        *as_typed.hint(resolution),
        advice=suggestions.for_missing(scene, resolution),
    )


@cause(
    "name-ends-in-cr",
    errno.ENOENT,
    manual="The name ends in CR, because it comes from a text with Windows line endings.",
    reads=(by_env.may_be_scripts,),
)
def _ends_in_cr(scene: Scene, resolution: Resolution) -> Diagnosis | None:
    """Report a name from a text with Windows line endings, such as the argument of ``#!/usr/bin/env``."""
    if not resolution.path.endswith("\r"):
        return None
    return by_env.name_with_cr(scene, resolution) or scene.diagnosis(
        "name-ends-in-cr",
        f"{words.quoted(resolution.path)} does not exist: its name ends in CR, so it comes from a text with"
        " Windows line endings.",
        "its name ends in CR",
        by_env.without_it(scene, resolution),
        advice="Give the text that names it Unix line endings, as dos2unix does.",
    )


@cause(
    "missing-interpreter",
    errno.ENOENT,
    manual="The script exists, but the interpreter of its #! line does not.",
    reads=suggestions.READS,
)
@cause(
    "missing-elf-interpreter",
    errno.ENOENT,
    manual="The program exists, but its ELF interpreter (PT_INTERP) does not.",
)
def _missing_interpreter(
    scene: Scene,
    resolution: Resolution,
    interpreter: Interpreter,
    passed: tuple[str, ...],
) -> Diagnosis:
    file, name = interpreter.of, interpreter.path
    code = "missing-elf-interpreter" if file.elf is not None else "missing-interpreter"
    named = f"{chain.subject(scene, file)} exists, but its {interpreter.kind} {words.quoted(name)}"
    broken = resolution.via
    if broken is not None:
        summary = (
            f"{named} leads through the link {words.quoted(broken.path)} to {words.quoted(resolution.path)},"
        )
        summary += " which does not exist."
    elif resolution.left:
        summary = f"{named} does not: there is no directory {words.quoted(resolution.path)}."
    elif not name.startswith("/"):
        summary = f"{named} is a relative path, and {words.quoted(_where(resolution))} has no such file."
    else:
        summary = f"{named} does not{_in_root(scene)}."
    odd = sorted({letter for letter in name if letter.isspace() and letter not in " \t\r\n"})
    return scene.diagnosis(
        code,
        summary,
        f"missing {interpreter.kind} {name}",
        *(
            f"The name contains U+{ord(letter):04X}, a blank at which the kernel does not end it."
            for letter in odd
        ),
        *passed,
        *loaders.built_for(file, name),
        advice=suggestions.for_interpreter(scene, resolution, file)
        if file.elf is None
        else loaders.advice(scene, file, name),
    )


@cause("not-a-directory", errno.ENOTDIR, manual="A component of the path is a file.")
@cause(
    "descriptor-is-no-directory",
    errno.ENOTDIR,
    manual="The descriptor that was passed to execveat is a file.",
)
def not_a_directory(
    scene: Scene, resolved: ResolvedFile, interpreter: Interpreter | None = None
) -> Diagnosis | None:
    """Report a component of a path that is not a directory (ENOTDIR)."""
    resolution = resolved.resolution
    if resolution.end is not End.NOT_A_DIRECTORY or not resolution.steps:
        return None
    step = resolution.steps[-1]
    kind = words.file_type(step.stat.st_mode)
    whose = "" if interpreter is None else f" of {chain.named(scene, interpreter, capital=False)}"
    if scene.by_descriptor and len(resolution.steps) == 1 and interpreter is None:
        return scene.diagnosis(
            "descriptor-is-no-directory",
            f"File descriptor {scene.record.dirfd} is {kind}, {words.quoted(step.path)}, not a directory in"
            f" which {words.quoted(resolution.asked)} could be looked up.",
            f"dirfd is {kind}",
        )
    slash = resolution.asked.endswith("/") and not resolution.left and resolution.via is None
    return scene.diagnosis(
        "not-a-directory",
        f"{words.quoted(step.path)}{whose} is {kind}, but the path "
        + ("ends in a slash, which asks for a directory." if slash else "goes on as if it were a directory."),
        f"not a directory: {step.path}",
        *_links(resolution),
        advice="Leave out the slash." if slash else None,
    )


@cause("link-loop", errno.ELOOP, manual="A symbolic link leads back to itself.")
@cause("too-many-links", errno.ELOOP, manual="The path leads through more links than the kernel follows.")
@cause(
    "link-not-followed", errno.ELOOP, manual="The path is a link, and execveat was given AT_SYMLINK_NOFOLLOW."
)
def looping(scene: Scene, resolved: ResolvedFile, interpreter: Interpreter | None = None) -> Diagnosis | None:
    """Report links that lead to each other, or too many links (ELOOP)."""
    resolution = resolved.resolution
    links = resolution.links
    whose = "" if interpreter is None else f"{chain.named(scene, interpreter)}: "
    if resolution.end is End.NOT_FOLLOWED:
        link = resolution.steps[-1]
        return scene.diagnosis(
            "link-not-followed",
            f"{words.quoted(link.path)} is a symbolic link (to {words.quoted(link.target or '')}),"
            " and execveat was asked not to follow one (AT_SYMLINK_NOFOLLOW).",
            "a link, with AT_SYMLINK_NOFOLLOW",
        )
    if resolution.end is not End.TOO_MANY_LINKS or not links:
        return None
    seen = [link.path for link in links]
    first = next((link for link in links if seen.count(link.path) > 1), None)
    if first is not None:
        begin = seen.index(first.path)
        ring = links[begin : seen.index(first.path, begin + 1)]
        return scene.diagnosis(
            "link-loop",
            f"{whose}{words.quoted(first.path)} is a symbolic link that leads back to itself.",
            f"link loop at {first.path}",
            *(f"{words.quoted(link.path)} links to {words.quoted(link.target or '')}." for link in ring),
            advice="Point the link at the program.",
        )
    return scene.diagnosis(
        "too-many-links",
        f"{whose}{words.quoted(resolution.asked)} leads through more than {MAX_LINKS} symbolic links.",
        f"more than {MAX_LINKS} links",
        f"The last one looked at is {words.quoted(links[-1].path)}.",
    )


@cause(
    "name-too-long",
    errno.ENAMETOOLONG,
    manual="A component of the path is longer than the file system allows.",
)
def name_too_long(scene: Scene, resolved: ResolvedFile) -> Diagnosis | None:
    """Report a component that is too long for every file system (ENAMETOOLONG)."""
    resolution = resolved.resolution
    if resolution.end is not End.NAME_TOO_LONG:
        return None
    name = resolution.path.rpartition("/")[2]
    length = len(os.fsencode(name))
    return scene.diagnosis(
        "name-too-long",
        f"A name in the path is too long: {words.quoted(name[:20] + '...')} has {length} bytes; the file"
        f" system takes {NAME_MAX}."
        if length > NAME_MAX
        else f"A name in the path is too long for its file system: {words.quoted(name[:20] + '...')} has"
        f" {length} bytes.",
        f"name too long: {length} bytes",
        f"It is looked up in {words.quoted(_where(resolution))}.",
    )


def explain_walk(
    scene: Scene, resolved: ResolvedFile, error: int, interpreter: Interpreter | None = None
) -> Diagnosis | None:
    """Return how a walk explains an error, for the file itself or for an interpreter; None if it does not."""
    if error == errno.ENOENT:
        return missing(scene, resolved, interpreter)
    if error == errno.EACCES:
        return access.unsearchable(scene, resolved, interpreter)
    if error == errno.ENOTDIR:
        return not_a_directory(scene, resolved, interpreter)
    if error == errno.ELOOP:
        return looping(scene, resolved, interpreter)
    return name_too_long(scene, resolved) if error == errno.ENAMETOOLONG else None


def _in_root(scene: Scene, verb: str = " exist") -> str:
    """Return where the caller's root directory is, where that is not ours."""
    base = "" if scene.caller_root is None else scene.caller_root.base
    return f"{verb} in the root directory {words.quoted(base)}" if base else ""


def _where(resolution: Resolution) -> str:
    return os.path.dirname(resolution.path) or "/"


def _links(resolution: Resolution) -> tuple[str, ...]:
    return tuple(
        f"{words.quoted(s.path)} links to {words.quoted(s.target or '')}." for s in resolution.links[:5]
    )


def _cwd(scene: Scene, resolution: Resolution) -> tuple[str, ...]:
    if resolution.asked.startswith("/") or scene.by_descriptor or scene.record.cwd is None:
        return ()
    return (f"The path is relative to the working directory {words.quoted(scene.record.cwd)}.",)
