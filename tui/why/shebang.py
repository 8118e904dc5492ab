"""What is wrong with a ``#!`` line."""

from __future__ import annotations

import os
from typing import Final

from bpf.binfmt import BINPRM_BUF_SIZE, ShebangFault
from bpf.lookup import File
from bpf.record import Diagnosis
from tui.why import words
from tui.why.scene import MAX_INTERPRETERS, Interpreter, Scene, inodes, is_found

_NAME_ONE: Final = "Make its first line name an interpreter, such as #!/bin/sh."

_TEXTS: Final = (
    (
        b"<!doctype html",
        "an HTML page",
        "Download it again: what came was a page, such as one about an error.",
    ),
    (b"<html", "an HTML page", "Download it again: what came was a page, such as one about an error."),
    (b"<?xml", "an XML document", None),
    (b"version https://git-lfs", "a Git LFS pointer", "Fetch the file itself, as `git lfs pull` does."),
)
"""Texts that are often found where a program should be, by how they begin, in lower case."""

_BOMS: Final = {
    b"\xef\xbb\xbf": "UTF-8",
    b"\xff\xfe": "UTF-16, little endian",
    b"\xfe\xff": "UTF-16, big endian",
}


def carriage_return(scene: Scene, interpreter: Interpreter) -> Diagnosis | None:
    """The line ends in CR LF, and the CR became part of the interpreter's name."""
    if not interpreter.path.endswith("\r") or is_found(interpreter.sight):
        return None
    file = interpreter.of
    name = interpreter.path.rstrip("\r")
    if not name:
        return scene.diagnosis(
            "crlf-interpreter",
            f"The first line of {words.quoted(file.path)} is #! and names no interpreter; as it ends in CR (a"
            " Windows line ending), the kernel took that for the name.",
            "#! names nothing but CR",
            advice=_NAME_ONE,
            about=inodes(file),
        )
    plain = scene.look(name)
    exists = (
        f"{words.quoted(name)} exists." if is_found(plain) else f"{words.quoted(name)} does not exist either."
    )
    return scene.diagnosis(
        "crlf-interpreter",
        f"The script {words.quoted(file.path)} exists, but its first line ends in CR (a Windows"
        f" line ending), so the kernel looked for {words.quoted(interpreter.path)}.",
        "its #! line ends in CR",
        exists,
        advice=f"Save {words.shell(file.path)} with Unix line endings, as dos2unix does.",
        about=inodes(file),
    )


def empty_name(scene: Scene, interpreter: Interpreter) -> Diagnosis | None:
    """A NUL stands where the name should begin; the kernel takes the empty name for the working directory."""
    file = interpreter.of
    if interpreter.path or file.shebang is None:
        return None
    return scene.diagnosis(
        "shebang-without-interpreter",
        f"The first line of {words.quoted(file.path)} is #! and a NUL byte, and names no interpreter.",
        "#! names no interpreter",
        advice=_NAME_ONE,
        about=inodes(file),
    )


def nested_too_deep(scene: Scene) -> Diagnosis | None:
    """ELOOP: interpreters that are scripts themselves."""
    scripts = [interpreter for interpreter in scene.interpreters if interpreter.of.shebang is not None]
    if len(scripts) <= MAX_INTERPRETERS:
        return None
    first = scripts[0].of
    back = any(one.path == scripts[0].path for one in scripts[1:])
    how = (
        "its interpreter is a script that leads back to itself"
        if back
        else (
            f"its interpreter is a script, whose interpreter is one too, and so on for more than"
            f" {MAX_INTERPRETERS} times"
        )
    )
    return scene.diagnosis(
        "interpreters-nested-too-deep",
        f"{words.quoted(first.path)} is a script, and {how}.",
        "#! scripts nested too deep",
        *(f"{words.quoted(one.of.path)} names {words.quoted(one.path)}." for one in scripts),
        advice="Let the first line name a program that is no script, such as /bin/sh.",
        about=inodes(*(one.of for one in scripts)),
    )


def malformed(scene: Scene, file: File) -> Diagnosis | None:
    """ENOEXEC: a line out of which the kernel makes no interpreter."""
    line = file.shebang
    if line is None or line.fault is None:
        return None
    if line.fault is ShebangFault.NO_INTERPRETER:
        return scene.diagnosis(
            "shebang-without-interpreter",
            f"The first line of {words.quoted(file.path)} is #! and names no interpreter.",
            "#! names no interpreter",
            advice=_NAME_ONE,
            about=inodes(file),
        )
    return scene.diagnosis(
        "shebang-too-long",
        f"The name of the interpreter in the #! line of {words.quoted(file.path)} does not end within the"
        f" {BINPRM_BUF_SIZE - 1} bytes that the kernel looks at.",
        "#! line is too long",
        advice="Name the interpreter by a shorter path, such as a link.",
        about=inodes(file),
    )


def without(scene: Scene, file: File) -> Diagnosis | None:
    """ENOEXEC: a text that has no ``#!`` line, or has something in front of it."""
    head = file.head
    if head is None or file.shebang is not None or file.elf is not None:
        return None
    name = words.quoted(file.path)
    for mark, encoding in _BOMS.items():
        if head.startswith(mark):
            after = head[len(mark) :].replace(b"\0", b"").startswith(b"#!")
            return scene.diagnosis(
                "bom-before-shebang" if after else "text-with-bom",
                f"{name} begins with a byte order mark ({encoding})"
                + (", so its #! is not at the beginning." if after else " and has no #! line."),
                "byte order mark before #!" if after else "text with a byte order mark",
                advice=f"Save {words.shell(file.path)} as UTF-8 without a byte order mark.",
                about=inodes(file),
            )
    if b"\0" in head or not _is_text(head):
        return None
    told = head.lstrip().lower()
    for beginning, what, advice in _TEXTS:
        if told.startswith(beginning):
            return scene.diagnosis(
                "not-a-program",
                f"{name} is {what}, and no program.",
                what,
                f"It begins with {words.quoted(os.fsdecode(beginning))}.",
                advice=advice,
                about=inodes(file),
            )
    if head.lstrip().startswith(b"#!"):
        what = "an empty line" if head.lstrip(b" \t").startswith((b"\n", b"\r")) else "blanks"
        return scene.diagnosis(
            "blank-before-shebang",
            f"{name} has {what} before its #!, which must be its first two bytes.",
            f"{what} before #!",
            advice="Remove what is before #!.",
            about=inodes(file),
        )
    return scene.diagnosis(
        "no-shebang",
        f"{name} is a text without a #! line, so the kernel does not know what is to run it.",
        "a text without #! line",
        "A shell would run it as a script of its own; the kernel does not.",
        advice=_NAME_ONE,
        about=inodes(file),
    )


def _is_text(head: bytes) -> bool:
    controls = sum((byte < 0x20 or byte == 0x7F) and byte not in b"\t\n\r\f\x1b" for byte in head)
    return controls * 50 <= len(head)
