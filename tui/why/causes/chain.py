"""How the kernel got to a file: as the one to execute, or as an interpreter, perhaps through others."""

from __future__ import annotations

import os

from execwhy.bpf.caller.lookup import File
from execwhy.tui.why.scene import words
from execwhy.tui.why.scene.files import Interpreter
from execwhy.tui.why.scene.scene import Scene


def subject(scene: Scene, file: File, *, capital: bool = True) -> str:
    """Name a file; an interpreter also by the file that names it: 'the interpreter "/b" of "/a"'."""
    way = _way_to(scene, file)
    return _named(way, file.path, capital=capital) if way else words.quoted(file.path)


def named(scene: Scene, interpreter: Interpreter, *, capital: bool = True) -> str:
    """Name an interpreter by its path as the file has it that names it, and that file."""
    number = next(i for i, one in enumerate(scene.interpreters) if one is interpreter)
    return _named(scene.interpreters[: number + 1], interpreter.path, capital=capital)


def brief(scene: Scene, file: File, text: str) -> str:
    """Return a brief cause; if it is about an interpreter, with its name."""
    way = _way_to(scene, file)
    return f"{text} ({way[-1].kind} {os.path.basename(file.path)})" if way else text


def is_interpreter(scene: Scene, file: File) -> bool:
    """Return whether a file is one of the interpreters, not the file to execute."""
    return bool(_way_to(scene, file))


def _way_to(scene: Scene, file: File) -> tuple[Interpreter, ...]:
    """Return the interpreters up to the one that is this file; () for the file to execute."""
    if scene.target is not None and scene.target.file is file:
        return ()
    for number, interpreter in enumerate(scene.interpreters):
        if interpreter.resolved is not None and interpreter.resolved.file is file:
            return scene.interpreters[: number + 1]
    return ()


def _named(way: tuple[Interpreter, ...], path: str, *, capital: bool) -> str:
    *former, last = way
    article = "The" if capital else "the"
    name = f"{article} {last.kind} {words.quoted(path)} of {words.quoted(last.of.path)}"
    return name + "".join(f", the {step.kind} of {words.quoted(step.of.path)}" for step in reversed(former))
