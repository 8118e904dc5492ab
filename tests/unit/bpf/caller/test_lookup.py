"""A path leads to the same file as in the kernel, and nothing on the way is modified."""

from __future__ import annotations

import dataclasses
import os
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cachetools import TTLCache
from hypothesis import given
from hypothesis import strategies as st

from execwhy.bpf.caller import cached_lookup, lookup
from execwhy.bpf.caller.binfmt import BINPRM_BUF_SIZE, ElfFault, read_elf, read_shebang
from execwhy.bpf.caller.lookup import look_up
from execwhy.bpf.caller.mounts import own_mounts
from execwhy.bpf.caller.namespaces import own_mount_ns
from execwhy.bpf.caller.resolution import End, Resolution, Step, WalkContext
from execwhy.bpf.caller.walk import MAX_STEPS, walk
from execwhy.bpf.events.record import ExecFailure
from tests.own_root import own_root


@pytest.fixture
def context(tmp_path: Path) -> Iterator[WalkContext]:
    """Return a context with a root directory of its own."""
    root = os.open(tmp_path, os.O_PATH)
    yield WalkContext(root, own_mounts())
    os.close(root)


def resolution_of(context: WalkContext, path: str, *, follow_last: bool = True) -> Resolution:
    before = len(os.listdir("/proc/self/fd"))
    resolution, descriptor = walk(context, path, follow_last=follow_last)
    assert (descriptor >= 0) is (resolution.end is End.FOUND)
    if descriptor >= 0:
        os.close(descriptor)
    assert len(os.listdir("/proc/self/fd")) == before
    return resolution


def failure(path: str, **facts: object) -> ExecFailure:
    known: dict[str, object] = {"cwd": "/", "mount_ns": own_mount_ns(), "root": own_root(), **facts}
    record = ExecFailure(
        timestamp=time.time_ns(), path=path, return_value=-2, pid=os.getpid(), tid=os.getpid()
    )
    return dataclasses.replace(record, **known)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def forgotten() -> None:
    """Drop cached answers of other tests."""
    lookup._answers.clear()


# ---- the walk ----


def test_a_walk_returns_the_file_and_every_component_of_its_path(
    tmp_path: Path, context: WalkContext
) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/file").touch()
    resolution = resolution_of(context, "/a/b/file")
    assert resolution.end is End.FOUND
    assert [step.path for step in resolution.steps] == ["/", "/a", "/a/b", "/a/b/file"]


def test_the_first_component_that_is_missing_is_named(tmp_path: Path, context: WalkContext) -> None:
    (tmp_path / "a").mkdir()
    resolution = resolution_of(context, "/a/b/c/d")
    assert (resolution.end, resolution.path, resolution.left, resolution.via) == (
        End.MISSING,
        "/a/b",
        2,
        None,
    )


def test_absolute_links_stay_below_the_root(tmp_path: Path, context: WalkContext) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/mine").touch()
    (tmp_path / "link").symlink_to("/etc/mine")
    resolution = resolution_of(context, "/link")
    assert (resolution.end, resolution.path) == (End.FOUND, "/etc/mine")
    assert resolution.links[0].target == "/etc/mine"


def test_dot_dot_does_not_lead_above_the_root(tmp_path: Path, context: WalkContext) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "file").touch()
    assert resolution_of(context, "/../../a/../../file").path == "/file"


def test_dot_dot_after_a_link_is_the_parent_of_its_target(tmp_path: Path, context: WalkContext) -> None:
    (tmp_path / "x/y").mkdir(parents=True)
    (tmp_path / "x/file").touch()
    (tmp_path / "link").symlink_to("x/y")
    assert resolution_of(context, "/link/../file").path == "/x/file"


def test_a_component_missing_in_a_links_target_is_reported_with_the_link(
    tmp_path: Path, context: WalkContext
) -> None:
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("three/four")
    resolution = resolution_of(context, "/one/five")
    assert (resolution.end, resolution.path) == (End.MISSING, "/three")
    assert resolution.via is not None and resolution.via.path == "/two"


@pytest.mark.parametrize(
    ("path", "end", "at"),
    [
        ("/file/x", End.NOT_A_DIRECTORY, "/file"),
        ("/file/", End.NOT_A_DIRECTORY, "/file"),
        ("/file/.", End.NOT_A_DIRECTORY, "/file"),
        ("/file/..", End.NOT_A_DIRECTORY, "/file"),
        ("/directory/", End.FOUND, "/directory"),
        ("/directory/.", End.FOUND, "/directory"),
        ("/loop", End.TOO_MANY_LINKS, "/pool"),
        ("/" + "n" * 256, End.NAME_TOO_LONG, "/" + "n" * 256),
        ("//directory///", End.FOUND, "/directory"),
        ("/", End.FOUND, "/"),
    ],
)
def test_a_walk_ends_with_the_kernels_error(
    path: str, end: End, at: str, tmp_path: Path, context: WalkContext
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "directory").mkdir()
    (tmp_path / "loop").symlink_to("pool")
    (tmp_path / "pool").symlink_to("loop")
    resolution = resolution_of(context, path)
    assert (resolution.end, resolution.path) == (end, at) or (
        end is End.TOO_MANY_LINKS and resolution.end is end
    )


@pytest.mark.parametrize(("links", "end"), [(40, End.FOUND), (41, End.TOO_MANY_LINKS)])
def test_forty_links_are_followed_as_the_kernel_does(
    links: int, end: End, tmp_path: Path, context: WalkContext
) -> None:
    (tmp_path / "0").touch()
    for number in range(1, links + 1):
        (tmp_path / str(number)).symlink_to(str(number - 1))
    assert resolution_of(context, f"/{links}").end is end
    try:
        os.stat(tmp_path / str(links))
        followed = True
    except OSError:
        followed = False
    assert followed is (end is End.FOUND)


def test_a_link_at_the_end_is_not_followed_with_nofollow(tmp_path: Path, context: WalkContext) -> None:
    (tmp_path / "link").symlink_to("file")
    resolution = resolution_of(context, "/link", follow_last=False)
    assert (resolution.end, resolution.steps[-1].target) == (End.NOT_FOLLOWED, "file")


@pytest.mark.parametrize("target", ["./" * 2000, "a/../" * 800])
def test_a_walk_through_links_with_long_targets_is_short(
    target: str, tmp_path: Path, context: WalkContext
) -> None:
    (tmp_path / "a").mkdir()
    for number in range(38):
        (tmp_path / str(number)).symlink_to(f"{target}{number + 1}")
    (tmp_path / "38").touch()
    resolution = resolution_of(context, "/0")
    assert resolution.end is End.OUT_OF_TIME
    assert len(resolution.steps) <= MAX_STEPS + 38


def test_a_step_records_the_mount_it_was_reached_through(tmp_path: Path, context: WalkContext) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/file").touch()
    (tmp_path / "link").symlink_to("a/file")
    resolution = resolution_of(context, "/link")
    assert [step.path for step in resolution.steps] == ["/", "/link", "/", "/a", "/a/file"]
    with (tmp_path / "a/file").open() as file:
        fdinfo = Path(f"/proc/self/fdinfo/{file.fileno()}").read_text()
    for step in resolution.steps:
        assert f"mnt_id:\t{step.mount_id}\n" in fdinfo
        assert step.mount is not None and step.mount.id == step.mount_id
        assert step.may_read
    assert resolution.may_read


def test_without_openat2_a_walk_has_the_same_result(
    tmp_path: Path, context: WalkContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/file").touch()
    (tmp_path / "link").symlink_to("a/../a/file")
    root = os.open("/", os.O_PATH)

    def walks() -> list[object]:
        # Others change the access time of /, and the number of links of /proc.
        trails = [resolution_of(context, path) for path in ("/link", "/a/no", "/a/file/x", "/no/x")]
        trails += [
            resolution_of(WalkContext(root, own_mounts()), path)
            for path in ("/proc/self/exe", "/dev/shm/..", "/sys")
        ]
        return [
            (replace(resolution, steps=(), via=None), *map(place_of, resolution.steps))
            for resolution in trails
        ]

    def place_of(step: Step) -> object:
        return step.path, step.stat.st_ino, step.target, step.place

    with_it = walks()
    monkeypatch.setattr(cached_lookup, "_openat2", lambda: None)
    assert walks() == with_it
    os.close(root)


def test_names_that_are_not_cached_are_looked_up_only_in_directories_of_root_and_the_caller(
    tmp_path: Path, context: WalkContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    right = cached_lookup._open

    def nothing_is_cached(call: Callable[..., int], at: int, name: bytes, how: cached_lookup._How) -> int:
        if how in (cached_lookup._CACHED_WITHIN, cached_lookup._CACHED_ANYWHERE):
            raise BlockingIOError
        return right(call, at, name, how)

    monkeypatch.setattr(cached_lookup, "_open", nothing_is_cached)
    if os.geteuid() == 0:
        os.chown(tmp_path, 12345, 12345)
    owner = os.stat(tmp_path).st_uid
    others = dataclasses.replace(context, users=(owner + 1,))
    assert resolution_of(dataclasses.replace(context, users=(owner,)), "/file").end is End.FOUND
    assert resolution_of(others, "/missing").end is End.MISSING, "the listing says so"
    assert resolution_of(others, "/" + 256 * "x").end is End.NAME_TOO_LONG
    refused = resolution_of(others, "/file")
    assert refused.end is End.MAY_BLOCK and "another user" in refused.refusal


def test_a_walk_ends_at_its_deadline(tmp_path: Path, context: WalkContext) -> None:
    (tmp_path / "file").touch()
    assert resolution_of(dataclasses.replace(context, deadline=0.0), "/file").end is End.OUT_OF_TIME


@given(st.text(alphabet="./ab\x1b\udcff", max_size=60))
def test_a_walk_agrees_with_the_kernel_on_any_path(text: str) -> None:
    path = "/" + text
    root = os.open("/", os.O_PATH)
    try:
        resolution, descriptor = walk(WalkContext(root, own_mounts()), path)
        try:
            expected: tuple[int, int] | None = (os.stat(path).st_dev, os.stat(path).st_ino)
        except OSError:
            expected = None
        found = None
        if descriptor >= 0:
            status = os.fstat(descriptor)
            found = (status.st_dev, status.st_ino)
            os.close(descriptor)
        assert found == expected, resolution
    finally:
        os.close(root)


# ---- the file ----


def test_the_binary_has_the_facts_of_stat(tmp_path: Path) -> None:
    path = tmp_path / "job"
    path.write_text("#!/bin/sh -e\n")
    path.chmod(0o4751)
    binary, interpreter = look_up(failure(str(path)), time.time_ns())
    status = path.stat()
    assert binary is not None
    assert interpreter == "/bin/sh"
    assert (binary.inode_number, binary.inode_mode, binary.ctime, binary.uid, binary.gid, binary.size) == (
        status.st_ino,
        status.st_mode,
        status.st_ctime_ns,
        status.st_uid,
        status.st_gid,
        status.st_size,
    )
    assert binary.source == "resolved"
    major, minor = map(int, binary.device.split(":"))
    assert binary.device_id == major << 20 | minor
    assert binary.device in {
        line.split()[2] for line in Path("/proc/self/mountinfo").read_text().splitlines()
    }


def test_the_elf_interpreter_is_read(tmp_path: Path) -> None:
    _, interpreter = look_up(failure("/bin/sh"), time.time_ns())
    assert interpreter is not None and os.path.exists(interpreter)


def test_a_relative_path_begins_at_the_callers_working_directory(tmp_path: Path) -> None:
    (tmp_path / "job").touch()
    binary, _ = look_up(failure("./job", cwd=str(tmp_path)), time.time_ns())
    assert binary is not None and binary.path == f"{tmp_path}/job"


def test_a_chroots_root_directory_is_the_root(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/job").touch()
    (tmp_path / "job").symlink_to("/bin/job")
    root = own_root().rstrip("/") + str(tmp_path)
    binary, _ = look_up(failure("/job", root=root, pid=2**22 + 1), time.time_ns())
    assert binary is not None
    assert (binary.path, binary.inode_number) == ("/bin/job", (tmp_path / "bin/job").stat().st_ino)


def test_the_descriptor_of_execveat_is_the_callers(tmp_path: Path) -> None:
    (tmp_path / "job").touch()
    directory = os.open(tmp_path, os.O_PATH)
    file = os.open(tmp_path / "job", os.O_RDONLY)
    try:
        below, _ = look_up(failure("job", dirfd=directory, flags=0, syscall="execveat"), time.time_ns())
        itself, _ = look_up(failure("", dirfd=file, flags=0x1000, syscall="execveat"), time.time_ns())
        through_proc, _ = look_up(failure(f"/proc/self/fd/{file}"), time.time_ns())
    finally:
        os.close(directory)
        os.close(file)
    assert below is not None and below == itself == through_proc
    assert below.path == f"{tmp_path}/job"


def test_proc_self_is_the_caller_and_not_this_program() -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        binary, _ = look_up(failure("/proc/self/exe", pid=other.pid, tid=other.pid), time.time_ns())
        other.kill()
    assert binary is not None and binary.inode_number == os.stat("/bin/sleep").st_ino


def test_a_pid_that_was_reused_is_not_looked_at(tmp_path: Path) -> None:
    file = os.open(tmp_path, os.O_RDONLY)
    try:
        record = failure("", dirfd=file, flags=0x1000, syscall="execveat", started=1)
        assert look_up(record, time.time_ns()) == (None, None)
    finally:
        os.close(file)


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "socket"))
    for name in ("fifo", "socket"):
        binary, interpreter = look_up(failure(str(tmp_path / name)), time.time_ns())
        assert binary is not None and interpreter is None
    listener.close()
    # A FIFO that had been opened for reading would let this writer in.
    with pytest.raises(OSError, match="No such device or address"):
        os.open(tmp_path / "fifo", os.O_WRONLY | os.O_NONBLOCK)


@pytest.mark.parametrize(
    "record",
    [
        failure("/no/such/file"),
        failure(""),
        failure("a\0b"),
        failure("relative", cwd=None, pid=0),
        failure("/bin/sh", mount_ns=1, pid=2**22 + 1),
        failure("/bin/sh", root="/no/such/root", pid=2**22 + 1),
        failure("\udcff\x1b" * 3000),
        dataclasses.replace(failure("x"), path=None),
    ],
)
def test_a_missing_file_is_returned_as_none(record: ExecFailure) -> None:
    assert look_up(record, time.time_ns()) == (None, None)


def test_a_caller_in_our_own_chroot_is_examined_from_that_root() -> None:
    binary, interpreter = look_up(failure("/bin/sh", root="/srv/chroot"), time.time_ns())
    assert binary is not None and binary.inode_number == os.stat("/bin/sh").st_ino
    assert interpreter is not None


def test_failures_before_a_look_share_its_answer_and_later_ones_do_not(tmp_path: Path) -> None:
    path = tmp_path / "job"
    path.touch()
    waiting = failure(str(path))
    first = look_up(waiting, time.time_ns())
    path.write_text("#!/bin/sh\n")
    assert look_up(waiting, time.time_ns()) is first
    assert look_up(failure(str(path)), time.time_ns())[1] == "/bin/sh"


def test_after_the_clock_was_set_back_an_answer_still_expires(tmp_path: Path) -> None:
    path = tmp_path / "job"
    path.touch()
    long_ago = dataclasses.replace(failure(str(path)), timestamp=1)
    first = look_up(long_ago, time.time_ns())
    path.write_text("#!/bin/sh\n")
    time.sleep(lookup._SECONDS + 0.05)
    assert look_up(long_ago, time.time_ns()) != first


def test_no_cache_grows_without_bound(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cache: TTLCache[tuple[object, ...], tuple[int, lookup._Answer]] = TTLCache(3, 60)
    monkeypatch.setattr(lookup, "_answers", cache)
    for number in range(10):
        look_up(failure(f"{tmp_path}/{number}"), time.time_ns())
    assert len(cache) == 3


def test_descriptors_do_not_leak(tmp_path: Path) -> None:
    (tmp_path / "job").write_text("#!/bin/sh\n")
    own_mounts()
    before = len(os.listdir("/proc/self/fd"))
    for path in (f"{tmp_path}/job", f"{tmp_path}/no", "job", "/proc/self/exe", f"{tmp_path}/job/x"):
        look_up(failure(path, cwd=str(tmp_path)), time.time_ns())
    assert len(os.listdir("/proc/self/fd")) == before


# ---- what the first bytes mean ----


@pytest.mark.parametrize(
    "line",
    [
        "#!/bin/echo",
        "#! /bin/echo",
        "#!\t /bin/echo \t",
        "#!/bin/echo one",
        "#!/bin/echo  one two\tthree  ",
        "#!/bin/echo -n\tx",
        "#!/bin/echo " + "x" * 230,
        "#!/bin/echo " + "x" * 300,
        "#!/bin/echo" + " " * 400,
    ],
)
@pytest.mark.parametrize("end", ["\n", "", "\nmore\n"])
def test_a_shebang_line_is_read_as_the_kernel_reads_it(line: str, end: str, tmp_path: Path) -> None:
    path = tmp_path / "job"
    path.write_text(line + end)
    path.chmod(0o755)
    shebang = read_shebang((line + end).encode())
    assert shebang is not None and shebang.interpreter == "/bin/echo"
    given = [] if shebang.argument is None else [shebang.argument]
    said = subprocess.run([path], capture_output=True, check=True).stdout
    assert said == subprocess.run(["/bin/echo", *given, path], capture_output=True, check=True).stdout


@pytest.mark.parametrize("body", [b"", b"\n", b" \n", b" \t", b"\0", b"\0\n", b"/" + b"x" * 254, b" " * 300])
def test_a_shebang_line_without_interpreter_is_refused_as_by_the_kernel(body: bytes, tmp_path: Path) -> None:
    path = tmp_path / "job"
    path.write_bytes(b"#!" + body)
    path.chmod(0o755)
    shebang = read_shebang(b"#!" + body)
    assert shebang is not None
    with pytest.raises(OSError) as error:
        os.posix_spawn(path, [str(path)], {})
    refused = error.value.strerror == "Exec format error"
    assert (shebang.fault is not None) is refused


@given(st.binary(max_size=400))
def test_any_first_bytes_can_be_parsed(head: bytes) -> None:
    for content in (head, b"#!" + head, b"\x7fELF" + head):
        shebang = read_shebang(content)
        assert shebang is None or len(shebang.line) <= BINPRM_BUF_SIZE
        read_elf(content, reading(content))


def with_interpreter(name: bytes, offset: int) -> bytes:
    header = b"\x7fELF\2\1\1".ljust(16, b"\0")
    header += struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    header += struct.pack("<IIQQQQQQ", 3, 4, offset, 0, 0, len(name), len(name), 1)
    return header.ljust(offset, b"\0") + name


def reading(content: bytes) -> Callable[[int, int], bytes]:
    return lambda count, offset: content[offset : offset + count]


def test_an_interpreters_name_far_from_the_beginning_is_found() -> None:
    content = with_interpreter(b"/lib/ld.so\0", 1 << 20)
    elf = read_elf(content[:4096], reading(content))
    assert elf is not None and elf.interpreter == "/lib/ld.so"


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (with_interpreter(b"/lib/ld.so\0", 200)[:205], ElfFault.INTERPRETER_CUT_OFF),
        (with_interpreter(b"/lib/ld.so", 200), ElfFault.INTERPRETER_OPEN),
        (with_interpreter(b"\0", 200), ElfFault.INTERPRETER_SIZE),
        (with_interpreter(b"x" * 5000, 200), ElfFault.INTERPRETER_SIZE),
        (with_interpreter(b"/lib/ld.so\0", 200)[:100], ElfFault.CUT_OFF),
        (with_interpreter(b"/lib/ld.so\0", 200)[:60], ElfFault.SHORT_HEADER),
    ],
)
def test_the_fault_of_a_broken_elf_file_is_named(content: bytes, fault: ElfFault) -> None:
    elf = read_elf(content[:4096], reading(content))
    assert elf is not None and elf.fault is fault
