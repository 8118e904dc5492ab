"""Once the hooks are attached, the monitor can do only what diagnosis needs."""

from __future__ import annotations

import fcntl
import os
import pwd
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from execwhy.bpf.events.record import ExecFailure
from execwhy.bpf.read.reader import KernelSource
from execwhy.tui.model.files.json_lines import Header, parse_line
from tests.live.command import COMMAND, PLAIN, PROJECT, on_terminal, recording, status_of_threads
from tests.live.exec_child import PATIENCE
from tests.live.listener import Listener, add_up, fail_to_exec
from tests.live.zoo import Zoo
from tests.pty.terminal import Terminal

NOBODY = pwd.getpwnam("nobody")
BEHIND_SUDO = {"SUDO_UID": str(NOBODY.pw_uid), "SUDO_GID": str(NOBODY.pw_gid)}
FOR_DIAGNOSIS = 1 << 2 | 1 << 19
"""CAP_DAC_READ_SEARCH and CAP_SYS_PTRACE."""


def assert_dropped(pid: int, uid: int, gid: int, groups: Sequence[int], kept: int = 0) -> None:
    """Assert that all threads of a process are this user, for good, with only these capabilities."""
    threads = status_of_threads(pid)
    assert threads
    for thread in threads:
        assert thread["Uid"].split() == [str(uid)] * 4
        assert thread["Gid"].split() == [str(gid)] * 4
        assert thread["Groups"].split() == [str(group) for group in groups]
        assert thread["NoNewPrivs"] == "1"
        for name, expected in {
            "CapInh": 0,
            "CapPrm": kept,
            "CapEff": kept,
            "CapBnd": kept,
            "CapAmb": 0,
        }.items():
            assert int(thread[name], 16) == expected, name


def children_of(pid: int) -> list[int]:
    """Return the processes that a process has started."""
    found: list[int] = []
    for thread in os.listdir(f"/proc/{pid}/task"):
        found += map(int, Path(f"/proc/{pid}/task/{thread}/children").read_text().split())
    return found


def groups_of(user: pwd.struct_passwd) -> list[int]:
    return sorted(set(os.getgrouplist(user.pw_name, user.pw_gid)))


@pytest.fixture
def place() -> Iterator[Path]:
    """Yield a directory owned by nobody; those of pytest are accessible only to root."""
    with tempfile.TemporaryDirectory(prefix="execwhy-place-") as directory:
        os.chown(directory, NOBODY.pw_uid, NOBODY.pw_gid)
        yield Path(directory)


def test_a_recording_runs_as_the_user_behind_sudo(place: Path) -> None:
    with recording(place / "file", **BEHIND_SUDO) as recorder:
        assert_dropped(recorder.pid, NOBODY.pw_uid, NOBODY.pw_gid, groups_of(NOBODY))
        found = recorder.output.stat()
        assert (found.st_uid, found.st_gid, found.st_mode & 0o7777) == (NOBODY.pw_uid, NOBODY.pw_gid, 0o600)


def test_only_the_lookers_keep_the_capabilities_that_looking_needs(place: Path) -> None:
    with recording(place / "file", **BEHIND_SUDO) as recorder:
        fail_to_exec("/execwhy-looked-at")
        (parent,) = (pid for pid in children_of(recorder.pid) if name_of(pid) == "execwhy-lookers")
        assert_dropped(parent, NOBODY.pw_uid, NOBODY.pw_gid, groups_of(NOBODY), FOR_DIAGNOSIS)
        deadline = time.monotonic() + PATIENCE
        while not (lookers := children_of(parent)):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        for looker in lookers:
            assert_dropped(looker, NOBODY.pw_uid, NOBODY.pw_gid, groups_of(NOBODY), FOR_DIAGNOSIS)
            assert os.getsid(looker) == parent != os.getsid(recorder.pid)
            for number in range(3):
                assert os.readlink(f"/proc/{looker}/fd/{number}") == "/dev/null"
    deadline = time.monotonic() + PATIENCE
    while any(os.path.exists(f"/proc/{pid}") for pid in (parent, *lookers)):
        assert time.monotonic() < deadline, "they outlive the monitor"
        time.sleep(0.05)


def name_of(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


def test_without_sudo_root_keeps_its_name_and_loses_its_capabilities(tmp_path: Path) -> None:
    with recording(tmp_path / "file") as recorder:
        assert_dropped(recorder.pid, 0, 0, sorted(os.getgroups()))


def test_another_user_can_be_chosen_than_the_one_behind_sudo(place: Path, tmp_path: Path) -> None:
    with recording(place / "file", "--user", "nobody") as recorder:
        assert_dropped(recorder.pid, NOBODY.pw_uid, NOBODY.pw_gid, groups_of(NOBODY))
    with recording(tmp_path / "file", "--user", "root", **BEHIND_SUDO) as recorder:
        assert_dropped(recorder.pid, 0, 0, groups_of(pwd.getpwuid(0)))
        assert recorder.output.stat().st_uid == 0


def test_all_privileges_are_kept_only_on_request(tmp_path: Path) -> None:
    (own,) = {thread["CapEff"] for thread in status_of_threads(os.getpid())}
    with recording(tmp_path / "file", "--keep-privileges", **BEHIND_SUDO) as recorder:
        for thread in status_of_threads(recorder.pid):
            assert (thread["CapEff"], thread["Uid"].split()[0], thread["NoNewPrivs"]) == (own, "0", "0")
        assert recorder.output.stat().st_uid == NOBODY.pw_uid


def test_a_file_that_the_user_may_not_write_is_not_written(tmp_path: Path) -> None:
    run = subprocess.run(
        [*COMMAND, "--record", str(tmp_path / "file")],
        env={**PLAIN, **BEHIND_SUDO}, capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert run.returncode == 1
    assert run.stderr.startswith("execwhy: ") and run.stderr.count("\n") == 1
    assert "this user may not write there: choose a directory of your own." in run.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_screen_runs_as_the_user_behind_sudo_and_still_filters_in_the_kernel(place: Path) -> None:
    prefix = f"/execwhy-{uuid.uuid4().hex[:8]}"
    with on_terminal("--filter", f"path:{prefix}**", environment=PLAIN | BEHIND_SUDO) as terminal:
        assert_dropped(terminal.pid, NOBODY.pw_uid, NOBODY.pw_gid, groups_of(NOBODY))
        fail_to_exec(f"{prefix}-1")
        terminal.wait_for_text(f"{prefix}-1")
        terminal.type("K")
        terminal.wait_for_text("in the kernel")
        for _ in range(20):
            fail_to_exec("/execwhy-unwanted")
        fail_to_exec(f"{prefix}-2")
        terminal.wait_for_text(f"{prefix}-2")
        snapshot = place / "snapshot.jsonl"
        save(terminal, snapshot)
        found = snapshot.stat()
        assert (found.st_uid, found.st_gid, found.st_mode & 0o7777) == (NOBODY.pw_uid, NOBODY.pw_gid, 0o600)
        terminal.type("q")
        assert terminal.status() == 0
    assert [record.path for record in records(snapshot)] == [f"{prefix}-1", f"{prefix}-2"]
    header = parse_line(snapshot.read_bytes().splitlines()[0])
    assert isinstance(header, Header)
    assert header.counters.suppressed >= 20
    assert add_up(header.counters)


def save(terminal: Terminal, path: Path) -> None:
    """Write a snapshot by hand."""
    terminal.type("w")
    terminal.wait_for_text("write a snapshot")
    terminal.wait_for_text(".jsonl  ")
    terminal.type("\x15")
    terminal.wait_for(lambda: ".jsonl  " not in terminal.text, "removed the name that it offers")
    terminal.type(f"{path}\r")
    terminal.wait_for(path.exists, "wrote the snapshot")
    terminal.wait_for(lambda: "write a snapshot" not in terminal.text, "closed the dialog")


def records(path: Path) -> list[ExecFailure]:
    found = (parse_line(line) for line in path.read_bytes().splitlines())
    return [record for record in found if isinstance(record, ExecFailure)]


def test_showing_a_file_keeps_only_the_right_to_read_it(tmp_path: Path) -> None:
    with recording(tmp_path / "file") as recorder:
        fail_to_exec("/execwhy-recorded")
        recorder.wait_for("/execwhy-recorded")
        recorder.end()
    with on_terminal(
        "--open", str(tmp_path / "file"), first="execwhy-recorded", environment=PLAIN | BEHIND_SUDO
    ) as terminal:
        for thread in status_of_threads(terminal.pid):
            assert thread["Uid"].split() == [str(NOBODY.pw_uid)] * 4
            assert int(thread["CapEff"], 16) == int(thread["CapBnd"], 16) == 1 << 2


def test_files_that_only_root_may_see_are_still_diagnosed(place: Path, zoo: Zoo) -> None:
    marker = str(uuid.uuid4())
    script = Path(zoo / "private") / "no-interpreter"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o700)
    elsewhere = (
        "mount -t tmpfs none /mnt && mkdir -m 700 /mnt/a"
        " && printf '#!/gone\\n' >/mnt/a/b && chmod 700 /mnt/a/b"
        ' && exec /mnt/a/b "$0"'
    )
    with recording(place / "file", **BEHIND_SUDO) as recorder:
        # The caller stays until it was examined: speed is not tested here.
        holder = subprocess.Popen(["unshare", "-m", "--propagation", "private", "sh", "-c",
                                   f"({elsewhere}); sleep 60", marker], start_new_session=True)  # fmt: skip
        with pytest.raises(FileNotFoundError):
            os.posix_spawn(script, [str(script), marker], {})
        recorder.wait_for("/mnt/a/b")
        recorder.wait_for(str(script))
        recorder.end()
        os.killpg(holder.pid, 9)
        holder.wait()
    ours = {record.path: record for record in records(place / "file") if marker in record.arguments}
    for path, interpreter in ((str(script), "/no/such/interpreter"), ("/mnt/a/b", "/gone")):
        record = ours[path]
        assert record.diagnosis is not None and record.diagnosis.code == "missing-interpreter"
        assert record.interpreter_path == interpreter
        assert record.binary is not None and record.binary.inode_mode == 0o100700


def test_the_user_can_neither_trace_nor_dump_the_program(place: Path) -> None:
    with recording(place / "file", **BEHIND_SUDO) as recorder:
        peek = subprocess.run(
            ["cat", f"/proc/{recorder.pid}/environ"],
            user=NOBODY.pw_uid, group=NOBODY.pw_gid, extra_groups=[], capture_output=True, check=False,
        )  # fmt: skip
        assert peek.returncode != 0 and b"Permission denied" in peek.stderr


def test_every_bpf_descriptor_closes_on_exec_and_nothing_is_pinned() -> None:
    source = KernelSource()
    listener = Listener(source)
    listener.start()
    try:
        held = {}
        for number in map(int, os.listdir("/proc/self/fd")):
            try:
                name = os.readlink(f"/proc/self/fd/{number}")
            except FileNotFoundError:
                continue
            if "bpf" in name or "eventpoll" in name or "eventfd" in name:
                held[number] = name
        assert sum("bpf-map" in name for name in held.values()) >= 4
        for number, name in held.items():
            assert fcntl.fcntl(number, fcntl.F_GETFD) & fcntl.FD_CLOEXEC, name
        pinned = Path("/sys/fs/bpf")
        assert not [path for path in pinned.glob("**/*") if path.is_file()]
    finally:
        source.close()


def test_the_loader_ends_when_the_monitor_is_killed_and_leaves_nothing(tmp_path: Path) -> None:
    with subprocess.Popen(
        [*COMMAND, "--record", str(tmp_path / "file")], env={**PLAIN}, stderr=subprocess.DEVNULL, cwd=PROJECT
    ) as process:
        deadline = time.monotonic() + PATIENCE
        while not (loaders := children(process.pid)):
            assert time.monotonic() < deadline
            time.sleep(0.001)
        process.kill()
    while [pid for pid in loaders if Path(f"/proc/{pid}").exists()]:
        assert time.monotonic() < deadline, "the loader runs on"
        time.sleep(0.01)
    assert not list(Path("/run").glob(f"execwhy-{process.pid}-*"))


def children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []
