"""What a child can change about itself before its exec. Nothing here outlives the child."""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import pty
import resource
import signal
import socket
import struct
import termios
import uuid
from collections.abc import Callable, Sequence
from typing import Final

from tests.live.exec_child import Array, Pointer, libc

USER: Final = 40_001
GROUP: Final = 40_002
"""Ids without an account, so that no other process of theirs is counted."""

KERNEL_RELEASE: Final = tuple(int(number) for number in os.uname().release.split("-")[0].split(".")[:2])

_CLONE_NEWNS: Final = 0x20000
_CLONE_NEWUSER: Final = 0x10000000
_CLONE_NEWPID: Final = 0x20000000
_MS_NOEXEC: Final = 8
_MS_PRIVATE_ALL: Final = 0x4000 | 1 << 18
_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_SET_SECCOMP: Final = 22
_PR_CAPBSET_DROP: Final = 24
_SECCOMP_MODE_FILTER: Final = 2
_SECCOMP_RET_ALLOW: Final = 0x7FFF0000
_SECCOMP_RET_ERRNO: Final = 0x00050000
_CAP_NET_RAW: Final = 13

_PROT_NONE: Final = 0
_MAP_ANONYMOUS: Final = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS

libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]


def checked(result: int) -> None:
    """Raise the OSError of a libc call that did not return 0."""
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def become_user(user: int = USER) -> None:
    """Give up root for a uid and a gid of no account."""
    os.setgroups([])
    os.setresgid(GROUP, GROUP, GROUP)
    os.setresuid(user, user, user)


def mount_noexec(directory: str) -> None:
    """Mount a noexec file system in a mount namespace of its own, and put an executable file there."""
    checked(libc.unshare(_CLONE_NEWNS))
    checked(libc.mount(b"none", b"/", None, _MS_PRIVATE_ALL, None))
    checked(libc.mount(b"tmpfs", os.fsencode(directory), b"tmpfs", _MS_NOEXEC, None))
    with open(f"{directory}/program", "wb") as file:
        file.write(b"\x7fELF")
    os.chmod(f"{directory}/program", 0o755)


def mount_overlay(lower: str, directory: str) -> None:
    """Mount an overlay, in a mount namespace of its own, whose lower files are on another file system.

    stat(2) then reports a device number for them that no mount has.
    """
    checked(libc.unshare(_CLONE_NEWNS))
    checked(libc.mount(b"none", b"/", None, _MS_PRIVATE_ALL, None))
    checked(libc.mount(b"tmpfs", os.fsencode(directory), b"tmpfs", 0, None))
    for name in ("upper", "work", "merged"):
        os.mkdir(f"{directory}/{name}")
    options = f"lowerdir={lower},upperdir={directory}/upper,workdir={directory}/work,xino=off"
    merged = os.fsencode(f"{directory}/merged")
    checked(libc.mount(b"overlay", merged, b"overlay", 0, os.fsencode(options)))


def enter_user_namespace() -> None:
    """Enter a user namespace that maps no ids: the caller itself sees 65534 everywhere."""
    become_user()
    checked(libc.unshare(_CLONE_NEWUSER))


def enter_mount_namespace_of_user_namespace() -> None:
    """Enter a user namespace, and in it a mount namespace that it owns."""
    enter_user_namespace()
    checked(libc.unshare(_CLONE_NEWNS))


def enter_pid_namespace() -> None:
    """Go on in a child that is process 1 of a pid namespace."""
    checked(libc.unshare(_CLONE_NEWPID))
    if child := os.fork():
        os.waitpid(child, 0)
        os._exit(0)


def descend(levels: int) -> None:
    """Go on in a child of a child, and so on; each of them waits for its own."""
    for _ in range(levels):
        if child := os.fork():
            os.waitpid(child, 0)
            os._exit(0)


def change_root(root: str, directory: str) -> None:
    """Change the root directory, and the working directory to one below it."""
    os.chroot(root)
    os.chdir(directory)


def exceed_process_limit() -> None:
    """Become a user who has more processes than RLIMIT_NPROC allows.

    The kernel looks when the uid changes, and again at the exec (set_user, do_execveat_common).
    """
    ready, report = os.pipe()
    alive, stay = os.pipe()
    if not os.fork():
        os.close(stay)
        become_user()
        os.write(report, b"r")
        os.read(alive, 1)
        os._exit(0)
    os.read(ready, 1)
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    become_user()


def lose_net_raw() -> None:
    """Drop the capability that the file ``capable`` insists on."""
    checked(libc.prctl(_PR_CAPBSET_DROP, _CAP_NET_RAW, 0, 0, 0))


def deny_exec_by_seccomp(number: int, error: int) -> None:
    """Have a seccomp filter refuse a system call with an errno."""

    def instruction(code: int, jump_true: int, jump_false: int, operand: int) -> bytes:
        return struct.pack("<HBBI", code, jump_true, jump_false, operand)

    # struct seccomp_data begins with the system call's number (seccomp(2)).
    program = instruction(0x20, 0, 0, 0) + instruction(0x15, 0, 1, number)
    program += instruction(0x06, 0, 0, _SECCOMP_RET_ERRNO | error)
    program += instruction(0x06, 0, 0, _SECCOMP_RET_ALLOW)
    text = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("<HxxxxxxQ", len(program) // 8, ctypes.addressof(text))
    checked(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    checked(libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, header, 0, 0))


def go_to_deep_directory(top: str, depth: int) -> None:
    """Make directories one in another, and go to the last."""
    os.chdir(top)
    for level in range(depth):
        name = f"level-{level:02d}-of-a-deep-place"
        os.makedirs(name, exist_ok=True)
        os.chdir(name)


def go_to_deleted_directory(top: str) -> None:
    """Remove the working directory."""
    directory = f"{top}/deleted-{uuid.uuid4()}"
    os.mkdir(directory)
    os.chdir(directory)
    os.rmdir(directory)


def descriptor_of_deleted_directory(top: str) -> int:
    """Open a directory and remove it."""
    directory = f"{top}/deleted-{uuid.uuid4()}"
    os.mkdir(directory)
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    os.rmdir(directory)
    return descriptor


def descriptor_of_removed_script(top: str) -> int:
    """Open a script without an interpreter, and remove it."""
    script = f"{top}/removed-{uuid.uuid4()}"
    with open(script, "w") as file:
        file.write("#!/no/such/interpreter\n")
    os.chmod(script, 0o755)
    descriptor = os.open(script, os.O_RDONLY)
    os.set_inheritable(descriptor, True)
    os.unlink(script)
    return descriptor


def take_controlling_terminal() -> None:
    """Begin a session on a new pseudo-terminal, with it as stdin."""
    os.setsid()
    # The controlling side stays open; otherwise the session would be hung up.
    _, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
    os.dup2(terminal, 0)


def open_stdin(path: str, flags: int = os.O_RDWR) -> None:
    """Have a file as stdin."""
    os.dup2(os.open(path, flags), 0)


def stdin_is_deleted_file(directory: str) -> None:
    """Have a file as stdin that no longer has a name."""
    path = f"{directory}/deleted-{uuid.uuid4()}"
    open_stdin(path, os.O_RDWR | os.O_CREAT)
    os.unlink(path)


def stdin_is_pipe() -> None:
    """Have a pipe as stdin."""
    os.dup2(os.pipe()[0], 0)


def stdin_is_socket() -> None:
    """Have a socket as stdin."""
    os.dup2(socket.socket(socket.AF_UNIX).detach(), 0)


def stdin_is_eventfd() -> None:
    """Have a file as stdin that is of no type at all."""
    os.dup2(os.eventfd(0), 0)


def stdin_is_inotify() -> None:
    """Have an inotify descriptor as stdin, whose name has no brackets."""
    os.dup2(libc.inotify_init(), 0)


def stdin_is_memory_file() -> None:
    """Have a file as stdin that is on no file system."""
    os.dup2(os.memfd_create("memory \x1b[31m"), 0)


def join_cgroup(path: str) -> None:
    """Move to a cgroup (v2), given its directory."""
    with open(f"{path}/cgroup.procs", "w") as file:
        file.write("0")


def untouched(directory: str, text: bytes, owner: int = 0) -> Pointer:
    """Return a string in memory that nobody has touched yet, so that none of its pages is mapped.

    Since 6.8 the kernel opens the file before it copies argv and envp, and a failure to open leaves them
    unread: a program that cannot fault pages in does not get them.
    """
    path = f"{directory}/untouched-{uuid.uuid4()}"
    with open(path, "wb") as file:
        file.write(text.ljust(mmap.PAGESIZE, b"\0"))
    os.chown(path, owner, owner)
    descriptor = os.open(path, os.O_RDONLY)
    address = libc.mmap(None, mmap.PAGESIZE, mmap.PROT_READ, mmap.MAP_PRIVATE, descriptor, 0)
    os.unlink(path)
    return Pointer(address, None if KERNEL_RELEASE >= (6, 8) else text)


def shared_memory(text: bytes) -> int:
    """Return the address of memory with a string in it, shared with forked children."""
    address: int = libc.mmap(
        None, mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS, -1, 0
    )
    ctypes.memmove(address, text + b"\0", len(text) + 1)
    return address


def rewritten(path: bytes, afterwards: bytes) -> Pointer:
    """Return a path that another process rewrites while its lease on the file delays the exec."""
    address = shared_memory(path)
    hold_up(path, lambda: ctypes.memmove(address, afterwards + b"\0", len(afterwards) + 1))
    return Pointer(address, path)


def hold_up(path: str | bytes, meanwhile: Callable[[], object]) -> None:
    """Make the next open of the file wait until ``meanwhile`` has run, in a process of its own."""
    ready, is_ready = os.pipe()
    if not os.fork():
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGIO})
        file = os.open(path, os.O_RDONLY)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        os.write(is_ready, b"r")
        signal.sigwait({signal.SIGIO})
        meanwhile()
        os._exit(0)  # which gives up the lease
    os.read(ready, 1)


def at_the_end_of_memory(strings: Sequence[bytes]) -> Array:
    """Return an array, and its last string, right before memory that cannot be read."""

    def before_a_hole(content: bytes) -> int:
        page = libc.mmap(None, 2 * mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_WRITE, _MAP_ANONYMOUS, -1, 0)
        checked(libc.mprotect(ctypes.c_void_p(page + mmap.PAGESIZE), mmap.PAGESIZE, _PROT_NONE))
        address: int = page + mmap.PAGESIZE - len(content)
        ctypes.memmove(address, content, len(content))
        return address

    addresses = [before_a_hole(string + b"\0") for string in strings]
    return Array(before_a_hole(struct.pack(f"{len(strings) + 1}P", *addresses, 0)), tuple(strings))


def cgroup_file_system() -> str | None:
    """Return where the unified cgroup hierarchy (v2) is mounted."""
    with open("/proc/self/mounts") as file:
        for line in file:
            _, where, file_system, *_ = line.split()
            if file_system == "cgroup2":
                return where
    return None
