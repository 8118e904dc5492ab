"""Files that cannot be executed, each for another reason, in addition to those of the zoo."""

from __future__ import annotations

import gzip
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from tests.live.circumstances import GROUP, USER, checked
from tests.live.exec_child import libc
from tests.live.zoo import Zoo

LINKS: Final = 41
"""One more than the kernel follows (MAXSYMLINKS of include/linux/namei.h)."""

HANDLED: Final = b"\x01execwhy\x02"
"""Magic bytes of no format, for a binfmt_misc handler."""

X32_PROGRAM: Final = (
    b"\x7fELF\1\1\1".ljust(16, b"\0")
    + struct.pack("<HHIIIIIHHHHHH", 2, 62, 1, 0, 52, 0, 0, 52, 32, 1, 0, 0, 0)
    + bytes(32)
)
"""A 32-bit ELF header for EM_X86_64, with one program header (PT_NULL)."""

_CLONE_NEWNS: Final = 0x20000
_MS_PRIVATE_ALL: Final = 0x4000 | 1 << 18
_MS_NOSYMFOLLOW: Final = 256
_BINFMT_MISC: Final = "/proc/sys/fs/binfmt_misc"
_PROTECTED_SYMLINKS: Final = "/proc/sys/fs/protected_symlinks"
_ACL_VERSION: Final = 2
_USER_OBJ, _USER, _GROUP_OBJ, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x10, 0x20
_NO_ID: Final = 0xFFFFFFFF


def write_files(zoo: Zoo) -> None:
    """Put them into the directory of the zoo."""

    def write(name: str, content: str | bytes, mode: int = 0o755) -> str:
        path = zoo / name
        with open(path, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
        os.chmod(path, mode)
        return path

    with open(zoo / "succeeds", "rb") as file:
        static = file.read()
    with open(zoo / "dynamic", "rb") as file:
        dynamic = file.read()

    os.symlink("/no/such/directory", zoo / "link-to-directory")
    os.symlink("/no/such/target", zoo / "dangling-interpreter")
    write("by-dangling-link", f"#!{zoo / 'dangling-interpreter'}\n")
    write("by-relative", "#!such-an-interpreter\n")
    write("by-script", f"#!{zoo / 'bad-interpreter'}\n")
    write("by-file-as-directory", f"#!{zoo / 'text'}/sh\n")
    write("by-directory", f"#!{zoo / 'directory'}\n")
    write("by-text", f"#!{zoo / 'text'}\n")
    write("by-mounted", f"#!{zoo / 'directory'}/program\n")
    write("by-unsearchable", f"#!{zoo / 'private'}/program\n")

    os.chown(write("not-for-group", static, 0o705), 0, GROUP)
    os.setxattr(write("acl", static), "system.posix_acl_access", acl(user=4, mask=7))
    os.setxattr(write("acl-mask", static), "system.posix_acl_access", acl(user=5, mask=4))
    os.mkdir(zoo / "acl-directory", 0o755)
    os.setxattr(zoo / "acl-directory", "system.posix_acl_access", acl(user=4, mask=7))

    write("bom-only", b"\xef\xbb\xbfecho\n")
    write("bom", b"\xef\xbb\xbf#!/bin/sh\n")
    write("utf-16", "#!/bin/sh\n".encode("utf-16"))
    write("blank", " #!/bin/sh\n")
    write("empty-line", "\n#!/bin/sh\n")
    write("no-interpreter", "#! \t\n")
    write("long", f"#!/{'n' * 300}\n")
    write("cut-header", static[:40])
    write("cut-program-headers", static[:100])
    write("cut-interpreter", dynamic[: _program_headers_end(dynamic)])
    write("core", _with_type(static, 4))
    write("object", _with_type(static, 1))
    write("no-program-headers", _without_program_headers(static))
    write("macos", b"\xcf\xfa\xed\xfe" + bytes(200))
    write("handled", HANDLED + bytes(200))
    write("x32", X32_PROGRAM)
    os.mkdir(zoo / "sticky")
    os.chmod(zoo / "sticky", 0o1777)
    os.symlink(zoo / "succeeds", zoo / "sticky/link")
    os.lchown(zoo / "sticky/link", USER, GROUP)
    os.mkdir(zoo / "plain", 0o755)
    write("plain/job", b"", 0o644)
    os.symlink(zoo / "plain", zoo / "sticky/to-plain")
    os.lchown(zoo / "sticky/to-plain", USER, GROUP)
    write("compressed", gzip.compress(static[:1000]))
    write("windows.exe", b"MZ\x90\0" + bytes(200))
    write("data", bytes(range(256)))
    write("app.jar", b"PK\3\4" + bytes(200))
    write("java-class", b"\xca\xfe\xba\xbe\0\0\0\x41" + bytes(200))
    write("module.pyc", b"\xcb\r\r\n" + bytes(200))
    write("download", "404: Not Found")
    write("utf-16-le", "#!/bin/sh\n".encode("utf-16-le"))
    write("zeros", bytes(4096))
    write("asks-env", "#!/usr/bin/env execwhy-no-such-program\n")
    write("asks-env-with-option", "#!/usr/bin/env sh -e\n")

    for number in range(LINKS):
        os.symlink(f"link-{number + 1}", zoo / f"link-{number}")
    write(f"link-{LINKS}", static)
    write("program\r", static)
    os.rename(zoo / "program\r", zoo / "program")


def acl(*, user: int, mask: int) -> bytes:
    """Return a raw ACL that gives one user these permissions, and everyone else rx."""
    entries = (
        (_USER_OBJ, 7, _NO_ID),
        (_USER, user, USER),
        (_GROUP_OBJ, 5, _NO_ID),
        (_MASK, mask, _NO_ID),
        (_OTHER, 5, _NO_ID),
    )
    return struct.pack("<I", _ACL_VERSION) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def mount_silent_file_system(directory: str) -> None:
    """Mount a FUSE file system whose server never answers, in a mount namespace of its own."""
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0".encode()
    for result in (
        libc.unshare(_CLONE_NEWNS),
        libc.mount(b"none", b"/", None, _MS_PRIVATE_ALL, None),
        libc.mount(b"fuse", os.fsencode(directory), b"fuse", 0, options),
    ):
        checked(result)


def mount_without_links(directory: str) -> None:
    """Mount a file system whose links are not followed, in a mount namespace of its own; put one there."""
    for result in (
        libc.unshare(_CLONE_NEWNS),
        libc.mount(b"none", b"/", None, _MS_PRIVATE_ALL, None),
        libc.mount(b"tmpfs", os.fsencode(directory), b"tmpfs", _MS_NOSYMFOLLOW, None),
    ):
        checked(result)
    os.symlink("/bin/true", f"{directory}/link")


@contextmanager
def registered_handler(name: str, interpreter: str, flags: str = "") -> Iterator[None]:
    """Have binfmt_misc give the file ``handled`` to an interpreter."""
    mounted = not os.path.exists(f"{_BINFMT_MISC}/register")
    if mounted:
        checked(libc.mount(b"binfmt_misc", os.fsencode(_BINFMT_MISC), b"binfmt_misc", 0, None))
    try:
        magic = "".join(f"\\x{byte:02x}" for byte in HANDLED)
        _write(f"{_BINFMT_MISC}/register", f":{name}:M::{magic}::{interpreter}:{flags}")
        try:
            yield
        finally:
            _write(f"{_BINFMT_MISC}/{name}", "-1")
    finally:
        if mounted:
            checked(libc.umount(os.fsencode(_BINFMT_MISC)))


@contextmanager
def protected_links() -> Iterator[None]:
    """Switch fs.protected_symlinks on, as most systems have it."""
    with open(_PROTECTED_SYMLINKS) as file:
        before = file.read()
    _write(_PROTECTED_SYMLINKS, "1")
    try:
        yield
    finally:
        _write(_PROTECTED_SYMLINKS, before)


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


def _without_program_headers(program: bytes) -> bytes:
    return program[:56] + b"\0\0" + program[58:]


def _with_type(program: bytes, kind: int) -> bytes:
    return program[:16] + struct.pack("<H", kind) + program[18:]


def _program_headers_end(program: bytes) -> int:
    (offset,) = struct.unpack_from("<Q", program, 32)
    size, count = struct.unpack_from("<HH", program, 54)
    end: int = offset + size * count
    return end
