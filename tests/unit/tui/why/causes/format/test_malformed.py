"""ENOEXEC and related errors: the type of the file is named, and the kernel does refuse it."""

from __future__ import annotations

import os
import shutil
import struct
from pathlib import Path

import pytest

from execwhy.bpf.caller.binfmt import Elf
from execwhy.tui.why.causes import diagnose
from execwhy.tui.why.causes.format.elf import is_foreign, machine_name
from execwhy.tui.why.scene import handlers
from execwhy.tui.why.scene.handlers import Handler, parse
from tests.unit.tui.why.failing import failed_exec


def program(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    path.chmod(0o755)
    return path


def elf_header(machine: int, *, bits: int = 64, big: bool = False, kind: int = 2, count: int = 1) -> bytes:
    """Return an ELF file with ``count`` program headers, the first of which is PT_NULL."""
    order, wide = (">" if big else "<"), bits == 64
    ident = b"\x7fELF" + bytes([2 if wide else 1, 2 if big else 1, 1]).ljust(12, b"\0")
    size, entry = (64, 56) if wide else (52, 32)
    layout = "HHIQQQIHHHHHH" if wide else "HHIIIIIHHHHHH"
    header = struct.pack(order + layout, kind, machine, 1, 0, size, 0, 0, size, entry, count, 0, 0, 0)
    return ident + header + bytes(entry * count)


@pytest.mark.parametrize(
    ("content", "code", "brief"),
    [
        (b"", "empty-file", "the file is empty"),
        (b"echo\n", "no-shebang", "a text without #! line"),
        ("echo grüße\n".encode(), "no-shebang", "a text without #! line"),
        (b"\xef\xbb\xbf#!/bin/sh\n", "bom-before-shebang", "byte order mark before #!"),
        (b"\xef\xbb\xbfecho\n", "text-with-bom", "text with a byte order mark"),
        (b"\r\n#!/bin/sh\n", "blank-before-shebang", "an empty line before #!"),
        (b"#!\n", "shebang-without-interpreter", "#! names no interpreter"),
        (b"#! /" + b"x" * 300 + b"\n", "shebang-too-long", "#! line is too long"),
        (b"#!" + b" " * 300 + b"/bin/sh\n", "shebang-too-long", "#! line is too long"),
        (b"\x7fELF", "truncated-elf", "a truncated ELF file"),
        (b"MZ" + bytes(100), "windows-program", "a Windows program"),
        (b"\xcf\xfa\xed\xfe" + bytes(100), "macos-program", "a macOS program"),
        (b"PK\3\4" + bytes(100), "not-a-program", "a zip archive"),
        (b"\n<!DOCTYPE html>\n<title>404</title>\n", "not-a-program", "an HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "not-a-program", "a Git LFS pointer"),
        (b"\x7f", "truncated-elf", "a truncated ELF file"),
        (b"\xca\xfe\xba\xbe\0\0\0\x41", "not-a-program", "a Java class"),
        (b"\xca\xfe\xba\xbe\0\0\0\2", "macos-program", "a macOS program"),
        (b"PK\3\4" + bytes(26) + b"META-INF/", "not-a-program", "a Java archive"),
        (b"\x1f\x8b\x08", "not-a-program", "compressed with gzip"),
        (b"!<arch>\ndebian-binary   ", "not-a-program", "a Debian package"),
        (b"!<arch>\nx.o/            ", "not-a-program", "an ar archive"),
        (b"name".ljust(257, b"\0") + b"ustar\0", "not-a-program", "a tar archive"),
        ("#!/bin/sh\n".encode("utf-16-le"), "not-a-program", "a text in UTF-16"),
        ("#!/bin/sh\n".encode("utf-16-be"), "not-a-program", "a text in UTF-16"),
        (bytes(4096), "not-a-program", "filled with zero bytes"),
        (b"404: Not Found", "not-a-program", "the error message of a server"),
        (b'{"message":"Not Found"}', "not-a-program", "the error message of a server"),
        (b"<?php echo 1;", "not-a-program", "a PHP script without a #! line"),
        (bytes(range(256)), "not-a-program", "in an unknown format"),
    ],
)
def test_the_type_of_the_file_is_named(content: bytes, code: str, brief: str, tmp_path: Path) -> None:
    record = failed_exec(program(tmp_path / "job", content))
    assert record.error == "ENOEXEC"
    diagnosis = diagnose(record)
    assert (diagnosis.code, diagnosis.brief) == (code, brief)
    assert diagnosis.certain


@pytest.mark.parametrize(
    ("machine", "bits", "big", "name"),
    [
        (40, 32, False, "arm"),
        (183, 64, False, "aarch64"),
        (243, 64, False, "riscv64"),
        (21, 64, True, "ppc64"),
        (21, 64, False, "ppc64le"),
        (22, 64, True, "s390x"),
        (8, 32, True, "mips"),
        (258, 64, False, "loongarch64"),
        (9999, 64, False, "machine 9999"),
    ],
)
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="foreign to this machine are others")
def test_a_foreign_program_is_named_with_its_machine(
    machine: int, bits: int, big: bool, name: str, tmp_path: Path
) -> None:
    record = failed_exec(program(tmp_path / "job", elf_header(machine, bits=bits, big=big)))
    assert record.error == "ENOEXEC"
    diagnosis = diagnose(record)
    assert diagnosis.code == "foreign-architecture"
    assert diagnosis.brief == f"built for {name}, this is x86_64"


def test_an_elf_file_that_is_not_a_program_is_recognized(tmp_path: Path) -> None:
    native = {"x86_64": 62, "aarch64": 183}[os.uname().machine]
    for kind, what in ((1, "an object file"), (4, "a core dump")):
        record = failed_exec(program(tmp_path / "job", elf_header(native, kind=kind)))
        diagnosis = diagnose(record)
        assert diagnosis.code == "not-an-executable-elf"
        assert what in diagnosis.summary


def test_no_program_headers_are_malformed(tmp_path: Path) -> None:
    native = {"x86_64": 62, "aarch64": 183}[os.uname().machine]
    diagnosis = diagnose(failed_exec(program(tmp_path / "job", elf_header(native, count=0))))
    assert diagnosis.code == "malformed-elf"
    assert "no program headers" in diagnosis.summary


def test_a_text_file_as_interpreter_is_blamed_instead_of_the_script(tmp_path: Path) -> None:
    text = program(tmp_path / "text", b"echo\n")
    record = failed_exec(program(tmp_path / "job", b"#!%s\n" % os.fsencode(text)))
    assert record.error == "ENOEXEC"
    diagnosis = diagnose(record)
    assert diagnosis.code == "no-shebang"
    assert str(text) in diagnosis.summary
    assert f'It is the interpreter "{text}" of "{tmp_path}/job".' in diagnosis.summary
    assert diagnosis.brief.endswith(" (interpreter text)")


def test_a_script_that_is_its_own_interpreter_is_nested_too_deep(tmp_path: Path) -> None:
    path = tmp_path / "job"
    record = failed_exec(program(path, b"#!%s\n" % os.fsencode(path)))
    assert record.error == "ELOOP"
    diagnosis = diagnose(record)
    assert diagnosis.code == "interpreters-nested-too-deep"
    assert "leads back to itself" in diagnosis.summary


def test_a_trailing_slash_asks_for_a_directory(tmp_path: Path) -> None:
    shutil.copy("/bin/true", tmp_path / "true")
    record = failed_exec(f"{tmp_path}/true/")
    assert record.error == "ENOTDIR"
    diagnosis = diagnose(record)
    assert diagnosis.code == "not-a-directory"
    assert "ends in a slash" in diagnosis.summary


def test_a_32_bit_program_is_native_only_if_the_kernel_runs_it() -> None:
    i386 = Elf(32, False, 2, 3)
    assert not is_foreign(i386, "x86_64")
    assert is_foreign(i386, "aarch64")
    assert not is_foreign(i386, "a machine that nobody knows")
    assert machine_name(Elf(32, False, 2, 62)) == "x32"


QEMU = """enabled
interpreter /usr/libexec/qemu-binfmt/aarch64-binfmt-P
flags: POCF
offset 0
magic 7f454c460201010000000000000000000200b700
mask ffffffffffffff00fffffffffffffffffeffffff
"""


def test_a_binfmt_registration_is_read_as_the_kernel_shows_it() -> None:
    handler = parse("qemu-aarch64", QEMU)
    assert handler is not None
    assert handler.interpreter == "/usr/libexec/qemu-binfmt/aarch64-binfmt-P"
    assert handler.enabled
    assert handler.flags == "POCF"
    assert handler.takes(elf_header(183), "/any")
    assert not handler.takes(elf_header(62), "/any")
    assert not handler.takes(b"\x7fELF", "/any")


def test_a_binfmt_registration_by_extension_matches_names() -> None:
    handler = parse("wine", "disabled\ninterpreter /usr/bin/wine\nflags: \nextension .exe\n")
    assert handler is not None and not handler.enabled
    assert handler.takes(b"MZ", "/opt/setup.exe")
    assert not handler.takes(b"MZ", "/opt/setup.com")


def test_an_emulator_that_is_registered_now_makes_a_foreign_program_uncertain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = failed_exec(program(tmp_path / "job", elf_header(22, big=True)))
    monkeypatch.setattr(handlers, "registered", lambda: (Handler("s390x", True, "/q", magic=b"\x7fELF"),))
    assert not diagnose(record).certain
    monkeypatch.setattr(handlers, "registered", lambda: (Handler("s390x", False, "/q", magic=b"\x7fELF"),))
    diagnosis = diagnose(record)
    assert diagnosis.certain
    assert any('"s390x" is disabled' in fact for fact in diagnosis.evidence)
