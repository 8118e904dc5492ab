"""File systems with errors of their own: damaged, encrypted, cut off, and one that answers as requested.

They stay mounted while a test needs them, where everyone sees them: the caller of the exec may be gone by
the time of the look.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import signal
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.live.exec_child import libc

_IMAGE_BYTES: Final = 16 << 20

# include/uapi/linux/fscrypt.h
_ADD_KEY: Final = 3 << 30 | 80 << 16 | ord("f") << 8 | 23
_REMOVE_KEY: Final = 3 << 30 | 64 << 16 | ord("f") << 8 | 24
_SET_POLICY: Final = 2 << 30 | 12 << 16 | ord("f") << 8 | 19
_BY_IDENTIFIER: Final = 2
_KEY: Final = struct.Struct("<II32xII32x")
_POLICY: Final = struct.Struct("<BBBBB3x16s")
_VERSION_2, _AES_256_XTS, _AES_256_CTS = 2, 1, 4

# fs/ext4: the superblock's place, its block size member, and the inode's checksum.
_SUPERBLOCK: Final = 1024
_LOG_BLOCK_SIZE: Final = _SUPERBLOCK + 24
_CHECKSUM_LOW: Final = 0x7C

# include/uapi/linux/fuse.h
_IN: Final = struct.Struct("<IIQQIII4x")
_OUT: Final = struct.Struct("<IiQ")
_LOOKUP, _GETATTR, _INIT = 1, 3, 26
_INIT_OUT: Final = struct.Struct("<IIII HHIIHH 32x")
_ATTRIBUTES: Final = struct.Struct("<QII 6Q 10I")
_REQUEST_BYTES: Final = 1 << 17
_DIRECTORY: Final = 0o40755


@contextmanager
def mounted_image(image: Path, directory: Path, options: str = "") -> Iterator[None]:
    """Mount an image of a file system."""
    directory.mkdir(exist_ok=True)
    subprocess.run(["mount", "-o", f"loop{options}", image, directory], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", directory], check=True)


@contextmanager
def damaged_file_system(place: Path) -> Iterator[Path]:
    """Yield a directory with ``deleted``, whose inode is free, and ``checksum``, whose checksum is wrong."""
    image = _image(place, "deleted", "checksum")
    _debugfs(image, "clri /deleted", "-w")
    _spoil_checksum(image, "checksum")
    with mounted_image(image, place / "damaged"):
        yield place / "damaged"


@contextmanager
def cut_off_file_system(place: Path) -> Iterator[Path]:
    """Yield a directory with a file ``program`` whose content cannot be read: its disk has ended."""
    image = _image(place, "program")
    first = min(map(int, _debugfs(image, "blocks /program").split()))
    with mounted_image(image, place / "cut", ",ro"):
        os.truncate(image, first * _block_bytes(image))
        yield place / "cut"


@contextmanager
def ext4_file_system(place: Path) -> Iterator[Path]:
    """Yield an ext4 whose blocks have 4,096 bytes."""
    with mounted_image(_image(place), place / "ext4"):
        yield place / "ext4"


@contextmanager
def encrypted_file_system(place: Path) -> Iterator[Path]:
    """Yield the path of a program in an encrypted directory after its key was removed."""
    image = _image(place)
    with mounted_image(image, place / "encrypted"):
        yield place / "encrypted" / _locked(place / "encrypted")


@contextmanager
def answering_file_system(directory: Path) -> Iterator[None]:
    """Mount a FUSE file system; a look-up of the name of an errno is answered with that errno."""
    directory.mkdir(exist_ok=True)
    device = _mount_fuse(directory)
    server = os.fork()
    if server == 0:
        try:
            _serve(device)
        finally:
            os._exit(0)
    os.close(device)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", directory], check=True)
        os.kill(server, signal.SIGKILL)
        os.waitpid(server, 0)


@contextmanager
def dead_file_system(directory: Path) -> Iterator[None]:
    """Mount a FUSE file system whose server has ended."""
    directory.mkdir(exist_ok=True)
    os.close(_mount_fuse(directory))
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", directory], check=True)


def _image(place: Path, *programs: str) -> Path:
    """Make a new ext4 with these files, all of them programs."""
    image, tree = place / "image", place / "tree"
    tree.mkdir()
    for name in programs:
        shutil.copy("/bin/true", tree / name)
    image.touch()
    os.truncate(image, _IMAGE_BYTES)
    command: list[str | Path] = [
        "mkfs.ext4",
        "-q",
        "-F",
        "-b",
        "4096",
        "-O",
        "encrypt,metadata_csum",
        "-d",
        tree,
        image,
    ]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return image


def _debugfs(image: Path, request: str, *options: str) -> str:
    command: list[str | Path] = ["debugfs", *options, "-R", request, image]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    return run.stdout


def _block_bytes(image: Path) -> int:
    with image.open("rb") as file:
        file.seek(_LOG_BLOCK_SIZE)
        (log,) = struct.unpack("<I", file.read(4))
    return 1024 << int(log)


def _spoil_checksum(image: Path, name: str) -> None:
    found = re.search(r"block (\d+), offset (0x[0-9a-f]+)", _debugfs(image, f"imap /{name}"))
    assert found, "debugfs does not show where an inode is"
    at = int(found[1]) * _block_bytes(image) + int(found[2], 16) + _CHECKSUM_LOW
    with image.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))


def _locked(root: Path) -> str:
    """Make a program in a directory that is encrypted, and take the key away; the path without the key."""
    with encrypted_directory(root) as (directory, lock):
        shutil.copy("/bin/true", directory / "program")
        lock()
    (name,) = os.listdir(directory)
    assert name != "program", "the key is still there"
    return f"secret/{name}"


@contextmanager
def encrypted_directory(root: Path) -> Iterator[tuple[Path, Callable[[], None]]]:
    """Yield an encrypted directory on an ext4 that supports it, and a function that removes its key."""
    directory = root / "secret"
    on_root = os.open(root, os.O_RDONLY)
    try:
        key = bytearray(_KEY.pack(_BY_IDENTIFIER, 0, 64, 0) + os.urandom(64))
        fcntl.ioctl(on_root, _ADD_KEY, key)
        identifier = bytes(key[8:24])
        directory.mkdir()
        on_directory = os.open(directory, os.O_RDONLY)
        fcntl.ioctl(on_directory, _SET_POLICY, _POLICY.pack(
            _VERSION_2, _AES_256_XTS, _AES_256_CTS, 0, 0, identifier))  # fmt: skip
        os.close(on_directory)

        def lock() -> None:
            os.sync()
            remove = bytearray(struct.pack("<II16s40x", _BY_IDENTIFIER, 0, identifier))
            fcntl.ioctl(on_root, _REMOVE_KEY, remove)

        yield directory, lock
    finally:
        os.close(on_root)


def _mount_fuse(directory: Path) -> int:
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
    if libc.mount(b"none", os.fsencode(directory), b"fuse", 0, options):
        raise OSError(f"FUSE cannot be mounted on {directory}")
    return device


def _serve(device: int) -> None:
    """Answer until the file system is unmounted."""
    while True:
        try:
            request = os.read(device, _REQUEST_BYTES)
        except OSError as error:
            if error.errno == errno.ENODEV:
                return
            continue
        _, operation, unique, *_ = _IN.unpack_from(request)
        error_number, content = 0, b""
        if operation == _INIT:
            content = _INIT_OUT.pack(7, 31, 0, 0, 0, 0, 4096, 1, 0, 0)
        elif operation == _GETATTR:
            content = _ATTRIBUTES.pack(60, 0, 0, 1, *[0] * 5, *[0] * 3, _DIRECTORY, 2, *[0] * 5)
        elif operation == _LOOKUP:
            name = request[_IN.size :].rstrip(b"\0").decode()
            error_number = getattr(errno, name, errno.ENOENT)
        else:
            error_number = errno.ENOSYS
        os.write(device, _OUT.pack(_OUT.size + len(content), -error_number, unique) + content)
