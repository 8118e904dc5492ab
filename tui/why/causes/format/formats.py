"""ENOEXEC: the file is no program at all. What it is, and what to do with it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from execwhy.bpf.caller.lookup import File
from execwhy.bpf.events.record import Diagnosis
from execwhy.tui.why.causes import advise
from execwhy.tui.why.registry import cause
from execwhy.tui.why.scene import words
from execwhy.tui.why.scene.scene import Scene

_KERNEL: Final = (
    "The kernel executes ELF programs, scripts that begin with #!, and what a handler is registered for"
    " (binfmt_misc)."
)
_FOR_LINUX: Final = "Use a build for Linux"
_AGAIN: Final = (
    "Download it again, for example with curl -f, which stops at an error instead of saving its page"
)


@dataclass(frozen=True, slots=True)
class _Format:
    """A format.

    Attributes:
        what: What a sentence calls such a file.
        advice: What to do with it, without a full stop; None if there is no advice.
        is_it: Returns whether a file has the format, by its first bytes and its path.
        command: The command for that, ``{}`` being the path; it writes only files with other names.
        ending: How the path must end for the command.
    """

    what: str
    advice: str | None
    is_it: Callable[[bytes, str], bool]
    command: str = ""
    ending: str = ""

    def advise(self, scene: Scene, file: File) -> str | None:
        """Return what to do with a file, by a command if one may name it."""
        if self.advice is None:
            return None
        by_command = None
        if self.command and file.path.endswith(self.ending):
            by_command = advise.command(scene, file, f"{self.advice}: `{self.command}`.")
        return by_command or f"{self.advice}."


def _begins(*magics: bytes) -> Callable[[bytes, str], bool]:
    return lambda head, path: head.startswith(magics)


def _text(*beginnings: bytes) -> Callable[[bytes, str], bool]:
    return lambda head, path: head.lstrip().lower().startswith(beginnings)


def _packed(magic: bytes, *, tar: bool) -> Callable[[bytes, str], bool]:
    """Return a test for compressed files, tar archives or others by their names."""
    return lambda head, path: head.startswith(magic) and tar == (".t" in os.path.basename(path))


def _is_class(head: bytes, path: str) -> bool:
    """Return whether it is not a universal macOS program, where the same magic precedes a number of parts."""
    return head.startswith(b"\xca\xfe\xba\xbe") and int.from_bytes(head[4:8]) >= 45


def _is_jar(head: bytes, path: str) -> bool:
    return head.startswith(b"PK\3\4") and (path.endswith((".jar", ".war")) or b"META-INF/" in head)


def _is_compiled_python(head: bytes, path: str) -> bool:
    return head[2:4] == b"\r\n" and head[5:8] == b"\0\0\0" and path.endswith((".pyc", ".pyo"))


def _is_utf16(head: bytes, path: str) -> bool:
    """Return whether it is UTF-16 without a byte order mark; a text with a mark is a cause of its own."""
    begin = head[:64]
    return len(begin) > 3 and (_is_plain(begin[::2], begin[1::2]) or _is_plain(begin[1::2], begin[::2]))


def _is_plain(letters: bytes, others: bytes) -> bool:
    return not any(others) and all(0x20 <= letter < 0x7F or letter in b"\t\r\n" for letter in letters)


_MACH_O: Final = tuple(
    bytes.fromhex(magic) for magic in ("feedface", "feedfacf", "cefaedfe", "cffaedfe", "cafebabe")
)

_FORMATS: Final = (
    _Format("a Windows program", "Use a build for Linux, or run it with Wine", _begins(b"MZ"), "wine {}"),
    _Format("a Java class", "Run it with Java, with its directory as -cp and its name", _is_class),
    _Format("a macOS program", _FOR_LINUX, _begins(*_MACH_O)),
    _Format("a Java archive", "Run it with Java", _is_jar, "java -jar {}"),
    _Format("a zip archive", "Unpack it", _begins(b"PK\3\4"), "unzip {}"),
    _Format("a WebAssembly module", "Run it with a runtime such as wasmtime", _begins(b"\0asm")),
    _Format("an archive, compressed with gzip", "Unpack it", _packed(b"\x1f\x8b", tar=True), "tar -xzf {}"),
    _Format("compressed with gzip", "Unpack it", _packed(b"\x1f\x8b", tar=False), "gunzip -k {}", ".gz"),
    _Format("an archive, compressed with xz", "Unpack it", _packed(b"\xfd7zXZ\0", tar=True), "tar -xJf {}"),
    _Format("compressed with xz", "Unpack it", _packed(b"\xfd7zXZ\0", tar=False), "unxz -k {}", ".xz"),
    _Format("compressed with zstd", "Unpack it", _begins(b"\x28\xb5\x2f\xfd"), "unzstd {}", ".zst"),
    _Format("compressed with bzip2", "Unpack it", _begins(b"BZh"), "bunzip2 -k {}", ".bz2"),
    _Format("a tar archive", "Unpack it", lambda head, path: head[257:262] == b"ustar", "tar -xf {}"),
    _Format("a Debian package", "It is to be installed, not run", _begins(b"!<arch>\ndebian-binary"),
            "apt install {}"),
    _Format("an ar archive, such as a static library", None, _begins(b"!<arch>\n")),
    _Format("an RPM package", "It is to be installed, not run", _begins(b"\xed\xab\xee\xdb"), "rpm -U {}"),
    _Format("a snap", "It is to be installed, not run",
            lambda head, path: head.startswith(b"hsqs") and path.endswith(".snap")),
    _Format("a squashfs image", None, _begins(b"hsqs")),
    _Format("compiled Python", "Run it with Python", _is_compiled_python, "python3 {}"),
    _Format("an SQLite database", None, _begins(b"SQLite format 3\0")),
    _Format("a PNG image", None, _begins(b"\x89PNG")),
    _Format("a PDF document", None, _begins(b"%PDF")),
    _Format("an HTML page", _AGAIN, _text(b"<!doctype html", b"<html")),
    _Format("the error message of a server", _AGAIN,
            _text(b"not found", b"404", b"access denied", b"<error>", b'{"message":"not found"',
                  b'{"message": "not found"', b"<?xml version=\"1.0\" encoding=\"utf-8\"?><error>",
                  b"<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<error>")),
    _Format("an XML document", None, _text(b"<?xml")),
    _Format("a Git LFS pointer", "Fetch the file itself, for example with git lfs pull",
            _text(b"version https://git-lfs")),
    _Format("a PHP script without a #! line", "Run it with PHP", _text(b"<?php"), "php {}"),
    _Format("a text in UTF-16", "Save it as UTF-8 (iconv)", _is_utf16),
    _Format("filled with zero bytes, as after a crash or where a disk was full", "Copy or build it again",
            lambda head, path: len(head) > 3 and not any(head)),
)  # fmt: skip
"""In the order in which they are asked."""

_CODES: Final = {"a Windows program": "windows-program", "a macOS program": "macos-program"}
"""The codes of formats that have one of their own."""


@cause("windows-program", errno.ENOEXEC, manual="A program for Windows.")
@cause("macos-program", errno.ENOEXEC, manual="A program for macOS.")
@cause(
    "not-a-program",
    errno.ENOEXEC,
    manual="An archive, a downloaded page or error message, or an unknown format.",
)
def known(scene: Scene, file: File) -> Diagnosis | None:
    """Name the format of a file that is neither an ELF file nor a script, if it is a known one."""
    head = file.head
    if not head or file.elf is not None or file.shebang is not None:
        return None
    found = next((one for one in _FORMATS if one.is_it(head, file.path)), None)
    if found is None:
        return None
    code = _CODES.get(found.what, "not-a-program")
    return scene.diagnosis(
        code,
        f"{words.quoted(file.path)} is {found.what}, not a program for Linux.",
        found.what.partition(",")[0] if "compressed" not in found.what else found.what,
        _beginning(head),
        _KERNEL,
        advice=found.advise(scene, file),
    )


def unknown(scene: Scene, file: File) -> Diagnosis | None:
    """Report a file whose format is not known."""
    head = file.head
    if head is None or file.elf is not None or file.shebang is not None:
        return None
    return scene.diagnosis(
        "not-a-program",
        f"{words.quoted(file.path)} is data in an unknown format, not a program.",
        "in an unknown format",
        _beginning(head),
        _KERNEL,
        advice=advise.command(scene, file, "Look what it is with `file {}`."),
    )


def _beginning(head: bytes) -> str:
    if head[:8].isascii() and head[:8].decode("ascii").isprintable():
        return f"It begins with {words.quoted(os.fsdecode(head[:24].splitlines()[0]))}."
    return f"It begins with the bytes {head[:8].hex(' ')}."
