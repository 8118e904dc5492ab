"""What can go wrong on the way to a file: a component that is missing, no directory, not searchable."""

from __future__ import annotations

import errno
import os

from bpf.lookup import Sight
from bpf.record import Diagnosis
from bpf.walk import MAX_LINKS, NAME_MAX, End, Trail
from tui.why import access, as_typed, by_env, chain, loaders, suggestions, words
from tui.why.scene import Interpreter, Scene


def missing(scene: Scene, sight: Sight, interpreter: Interpreter | None = None) -> Diagnosis | None:
    """ENOENT on the way: the first component that is not there."""
    trail = sight.trail
    if trail.end is not End.MISSING:
        return None
    passed = _links(trail)
    if interpreter is not None:
        return _missing_interpreter(scene, trail, interpreter, passed)
    shown = words.quoted(trail.asked)
    broken = trail.via
    if broken is not None:
        return scene.diagnosis(
            "dangling-link",
            f"{words.quoted(broken.path)} is a link to {words.quoted(broken.target or '')}, but"
            f" {words.quoted(trail.path)} does not exist.",
            f"dangling link to {broken.target}",
            *passed,
            advice=suggestions.for_link(scene, trail, broken),
        )
    named_otherwise = _ends_in_cr(scene, trail) or by_env.missing(scene, trail)
    named_otherwise = named_otherwise or as_typed.missing(scene, trail)
    if named_otherwise is not None:
        return named_otherwise
    if trail.left:
        return scene.diagnosis(
            "missing-directory",
            f"{shown} was not found: its directory {words.quoted(trail.path)} does not exist.",
            f"missing directory {trail.path}",
            *passed,
            *_cwd(scene, trail),
            *as_typed.hint(trail),
            advice=suggestions.in_directory(scene, trail),
        )
    if not trail.asked.startswith("/") and not scene.by_descriptor:
        return scene.diagnosis(
            "missing-in-working-directory",
            f"The path {shown} is relative, and the working directory {words.quoted(_where(trail))} has no"
            f" such file.",
            f"not found in {_where(trail)}",
            *passed,
            *as_typed.hint(trail),
            advice=suggestions.for_missing(scene, trail),
        )
    return scene.diagnosis(
        "missing-file",
        f"{words.quoted(trail.path)} does not exist{_in_root(scene, '')}.",
        "no such file",
        *passed,
        f"The directory {words.quoted(_where(trail))} exists and has no entry of that name.",
        *as_typed.hint(trail),
        advice=suggestions.for_missing(scene, trail),
    )


def _ends_in_cr(scene: Scene, trail: Trail) -> Diagnosis | None:
    """A name out of a text with Windows line endings, such as the argument of ``#!/usr/bin/env``."""
    if not trail.path.endswith("\r"):
        return None
    return by_env.name_with_cr(scene, trail) or scene.diagnosis(
        "name-ends-in-cr",
        f"{words.quoted(trail.path)} does not exist: its name ends in CR, so it comes from a text with"
        " Windows line endings.",
        "its name ends in CR",
        by_env.without_it(scene, trail),
        advice="Give the text that names it Unix line endings, as dos2unix does.",
    )


def _missing_interpreter(
    scene: Scene,
    trail: Trail,
    interpreter: Interpreter,
    passed: tuple[str, ...],
) -> Diagnosis:
    file, name = interpreter.of, interpreter.path
    code = "missing-elf-interpreter" if file.elf is not None else "missing-interpreter"
    named = f"{chain.subject(scene, file)} exists, but its {interpreter.kind} {words.quoted(name)}"
    broken = trail.via
    if broken is not None:
        summary = f"{named} leads through the link {words.quoted(broken.path)} to {words.quoted(trail.path)},"
        summary += " which does not exist."
    elif trail.left:
        summary = f"{named} does not: there is no directory {words.quoted(trail.path)}."
    elif not name.startswith("/"):
        summary = f"{named} is a relative path, and {words.quoted(_where(trail))} has no such file."
    else:
        summary = f"{named} does not{_in_root(scene)}."
    odd = sorted({letter for letter in name if letter.isspace() and letter not in " \t\r\n"})
    return scene.diagnosis(
        code,
        summary,
        f"missing {interpreter.kind} {name}",
        *(
            f"The name holds U+{ord(letter):04X}, a blank that does not end it for the kernel."
            for letter in odd
        ),
        *passed,
        *loaders.told(file, name),
        advice=suggestions.for_interpreter(scene, trail, file)
        if file.elf is None
        else loaders.advice(scene, file, name),
    )


def not_a_directory(scene: Scene, sight: Sight, interpreter: Interpreter | None = None) -> Diagnosis | None:
    """ENOTDIR on the way: a component that is a file."""
    trail = sight.trail
    if trail.end is not End.NOT_A_DIRECTORY or not trail.steps:
        return None
    step = trail.steps[-1]
    kind = words.file_type(step.stat.st_mode)
    whose = "" if interpreter is None else f" of {chain.named(scene, interpreter, capital=False)}"
    if scene.by_descriptor and len(trail.steps) == 1 and interpreter is None:
        return scene.diagnosis(
            "descriptor-is-no-directory",
            f"File descriptor {scene.record.dirfd} is {kind}, {words.quoted(step.path)}, and no directory in"
            f" which {words.quoted(trail.asked)} could be looked up.",
            f"dirfd is {kind}",
        )
    slash = trail.asked.endswith("/") and not trail.left and trail.via is None
    return scene.diagnosis(
        "not-a-directory",
        f"{words.quoted(step.path)}{whose} is {kind}, but the path "
        + ("ends in a slash, which asks for a directory." if slash else "goes on as if it were a directory."),
        f"not a directory: {step.path}",
        *_links(trail),
        advice="Leave out the slash." if slash else None,
    )


def looping(scene: Scene, sight: Sight, interpreter: Interpreter | None = None) -> Diagnosis | None:
    """ELOOP on the way: links that lead to each other, or too many of them."""
    trail = sight.trail
    links = trail.links
    whose = "" if interpreter is None else f"{chain.named(scene, interpreter)}: "
    if trail.end is End.NOT_FOLLOWED:
        link = trail.steps[-1]
        return scene.diagnosis(
            "link-not-followed",
            f"{words.quoted(link.path)} is a symbolic link (to {words.quoted(link.target or '')}),"
            " and execveat was asked not to follow one (AT_SYMLINK_NOFOLLOW).",
            "a link, with AT_SYMLINK_NOFOLLOW",
        )
    if trail.end is not End.TOO_MANY_LINKS or not links:
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
        f"{whose}{words.quoted(trail.asked)} leads through more than {MAX_LINKS} symbolic links.",
        f"more than {MAX_LINKS} links",
        f"The last one looked at is {words.quoted(links[-1].path)}.",
    )


def name_too_long(scene: Scene, sight: Sight) -> Diagnosis | None:
    """ENAMETOOLONG on the way: one component that no file system takes."""
    trail = sight.trail
    if trail.end is not End.NAME_TOO_LONG:
        return None
    name = trail.path.rpartition("/")[2]
    length = len(os.fsencode(name))
    return scene.diagnosis(
        "name-too-long",
        f"A name in the path is too long: {words.quoted(name[:20] + '...')} has {length} bytes; the file"
        f" system takes {NAME_MAX}."
        if length > NAME_MAX
        else f"A name in the path is too long for its file system: {words.quoted(name[:20] + '...')} has"
        f" {length} bytes.",
        f"name too long: {length} bytes",
        f"It is looked up in {words.quoted(_where(trail))}.",
    )


def explain_walk(
    scene: Scene, sight: Sight, error: int, interpreter: Interpreter | None = None
) -> Diagnosis | None:
    """What a walk tells about one error, for the file itself or for an interpreter."""
    if error == errno.ENOENT:
        return missing(scene, sight, interpreter)
    if error == errno.EACCES:
        return access.unsearchable(scene, sight, interpreter)
    if error == errno.ENOTDIR:
        return not_a_directory(scene, sight, interpreter)
    if error == errno.ELOOP:
        return looping(scene, sight, interpreter)
    return name_too_long(scene, sight) if error == errno.ENAMETOOLONG else None


def _in_root(scene: Scene, verb: str = " exist") -> str:
    """Return where the caller's root directory is, where that is not ours."""
    base = "" if scene.vantage is None else scene.vantage.base
    return f"{verb} in the root directory {words.quoted(base)}" if base else ""


def _where(trail: Trail) -> str:
    return os.path.dirname(trail.path) or "/"


def _links(trail: Trail) -> tuple[str, ...]:
    return tuple(f"{words.quoted(s.path)} links to {words.quoted(s.target or '')}." for s in trail.links[:5])


def _cwd(scene: Scene, trail: Trail) -> tuple[str, ...]:
    if trail.asked.startswith("/") or scene.by_descriptor or scene.record.cwd is None:
        return ()
    return (f"The path is relative to the working directory {words.quoted(scene.record.cwd)}.",)
