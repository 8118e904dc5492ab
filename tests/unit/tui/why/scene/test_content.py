"""Evidence that no block of a file can have become zeros since the exec."""

from __future__ import annotations

import dataclasses
import os
import platform
import struct
from pathlib import Path

import pytest

from execwhy.bpf.caller.binfmt import read_elf, read_shebang
from execwhy.bpf.caller.lookup import HEAD_BYTES, File
from execwhy.bpf.caller.mountinfo import Mount
from execwhy.tui.why.scene.proof.content import doubts

_HEADER = 64
_ENTRY = 56
_AT_INTERP = 0x318
"""The offset of PT_INTERP in the output of gcc's linker."""


def elf(interpreter: bytes, at: int = _AT_INTERP, headers_at: int = _HEADER) -> bytes:
    """Return a 64-bit program of one program header, PT_INTERP, 8,192 bytes long."""
    header = b"\x7fELF\2\1\1".ljust(16, b"\0") + struct.pack(
        "<HHIQQQIHHHHHH", 2, 62, 1, 0, headers_at, 0, 0, _HEADER, _ENTRY, 1, 0, 0, 0
    )
    size = len(interpreter) + 1
    image = bytearray(header.ljust(8192, b"\0"))
    image[headers_at : headers_at + _ENTRY] = struct.pack("<IIQQQQQQ", 3, 4, at, 0, 0, size, size, 1)
    image[at : at + size] = interpreter + b"\0"
    return bytes(image)


def a_file(content: bytes, kind: str | None = "ext4", uid: int = 1000, mode: int = 0o100755) -> File:
    head = content[:HEAD_BYTES]
    status = os.stat_result((mode, 12, 34, 1, uid, uid, len(content), 0, 0, 0))
    mount = None if kind is None else Mount(1, "8:1", "/", frozenset(), kind)
    read = read_elf(head, lambda count, offset: content[offset : offset + count])
    return File("/home/u/job", status, mount, head, read_shebang(head), read)


def said(file: File, *, was_opened: bool = True) -> str:
    return " ".join(doubts(file, was_opened=was_opened))


@pytest.mark.parametrize("kind", ["ext2", "ext3", "ext4", "overlay"])
def test_the_magic_of_scripts_and_gcc_output_proves_that_no_block_was_zeroed(kind: str) -> None:
    for content in (b"#!/no/such/interpreter\n", elf(b"/no/ld.so"), b"echo hello\n", b""):
        assert not said(a_file(content, kind)), content[:20]


@pytest.mark.parametrize(
    "content",
    [
        b"\0" * 8192,
        b"\0asm\1\0\0\0",
        elf(b"/missing/ld-TRUE.so.2", at=4096 - 11),
        elf(b"/missing/ld.so", at=1000, headers_at=4096),
        elf(b"/missing/ld.so", at=1024 - 11),
        b"PK\3\4".ljust(1024, b"x") + b"\0" * 1024,
    ],
    ids=["zeros", "begins with NUL", "name over two blocks", "headers beyond", "name over 1 KiB", "a hole"],
)
def test_content_that_a_zeroed_block_could_have_held_is_not_proven(content: bytes) -> None:
    assert "can become zeros without a trace" in said(a_file(content))
    assert not said(a_file(content, uid=0)), "nobody but root can have done it"
    assert said(a_file(content, uid=0, mode=0o100775)), "the group may write it"
    assert not said(a_file(content, kind="btrfs"))


def test_a_truncated_file_is_proven_by_its_header_and_length() -> None:
    whole = elf(b"/no/ld.so", headers_at=4096)
    cut = a_file(whole[:4100])
    assert cut.elf is not None
    assert cut.elf.fault is not None
    assert not said(cut)


def test_a_compiled_program_of_a_user_is_proven() -> None:
    content = Path("/bin/true").read_bytes()
    file = a_file(content)
    assert platform.machine() not in ("x86_64", "aarch64") or (file.elf and file.elf.interpreter)
    assert not said(file)


@pytest.mark.parametrize("kind", ["tmpfs", "xfs", "f2fs"])
def test_on_file_systems_without_a_trace_of_changes_only_content_of_root_is_proven(kind: str) -> None:
    file = a_file(b"#!/no/such/interpreter\n", kind)
    assert f"of type {kind}" in said(file)
    assert not said(a_file(b"#!/no/such/interpreter\n", kind, uid=0))
    assert said(dataclasses.replace(a_file(b"#!/x\n", kind, uid=0), acl=b"\2\0\0\0"))


def test_an_overlay_on_a_tmpfs_leaves_no_more_trace_than_the_tmpfs() -> None:
    file = a_file(b"#!/no/such/interpreter\n", "overlay")
    assert "of type tmpfs" in " ".join(doubts(file, was_opened=True, below=frozenset({"ext4", "tmpfs"})))
    assert not list(doubts(file, was_opened=True, below=frozenset({"ext4"})))
    assert "layers are not known" in " ".join(doubts(file, was_opened=True, below=None))


def test_a_file_that_the_kernel_had_not_opened_could_be_mapped_for_writing() -> None:
    assert "had it mapped for writing" in said(a_file(b"#!/x\n"), was_opened=False)
