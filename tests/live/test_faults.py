"""Every fault leads to one clear sentence and a non-zero status, and leaves nothing uncounted or behind."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from execwhy.bpf.events.loss import Loss
from execwhy.bpf.events.record import ExecFailure
from execwhy.bpf.events.source import Stage
from execwhy.bpf.load import loader
from execwhy.bpf.load import support as kernel
from execwhy.bpf.read import decode
from execwhy.bpf.read.decode import Decoder
from execwhy.bpf.read.losses import READER_STOPPED
from execwhy.bpf.read.reader import KernelSource
from execwhy.tui.model.files.json_lines import Ending, parse_line
from execwhy.tui.recording.files.omissions import NO_ROOM
from tests.live.command import COMMAND, PLAIN, on_terminal, recording
from tests.live.exec_child import PATIENCE
from tests.live.listener import Listener, add_up, fail_to_exec
from tests.live.test_source import bpf_descriptors
from tests.live.zoo import Zoo
from tests.pty.terminal import Terminal

RECORD = " ".join([*COMMAND, "--record", "-", "--duration", "1"])

NO_HEADERS = "for at in /lib/modules /usr/src; do [ ! -d $at ] || mount -t tmpfs none $at; done;"
NO_TYPES = "the kernel's types are not known here: install its headers"


def in_shell(script: str, *wrapper: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*wrapper, "sh", "-c", script], env=PLAIN, cwd="/", stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("wrapper", "script", "sentence"),
    [
        (["unshare", "-m"], f"{NO_HEADERS} mount -t tmpfs none /sys/kernel/btf &&", NO_TYPES),
        (["unshare", "-m"], f"{NO_HEADERS} umount -l /sys &&", NO_TYPES),
        (["unshare", "-m"], "mount -t tmpfs none /proc &&", "there is no /proc here: mount it"),
        (
            ["unshare", "-m"],
            # Not hidden: the project itself may be in one of them.
            "for at in /run /tmp /var/tmp; do"
            " mount --bind $at $at && mount -o remount,bind,ro $at || exit; done;",
            "no temporary directory can be written (",
        ),
        (
            ["capsh", "--drop=cap_bpf,cap_sys_admin,cap_perfmon", "--", "-c"],
            "",
            "lacks CAP_BPF and CAP_PERFMON",
        ),
        (
            ["unshare", "-U", "-r"],
            "unset SUDO_UID;",
            "lacks CAP_BPF and CAP_PERFMON, run it on the host or in a privileged",
        ),
        (["capsh", "--drop=cap_setuid", "--", "-c"], "", "--keep-privileges goes on with all of them."),
        (["sh", "-c"], "ulimit -n 24;", "(ulimit -n is 24): set ulimit -n to 256 or more."),
    ],
    ids=[
        "no BTF",
        "no sysfs",
        "no proc",
        "no place for files",
        "no BPF",
        "user namespace",
        "no setuid",
        "too few files",
    ],
)
def test_a_missing_requirement_is_reported_in_one_sentence(
    wrapper: list[str], script: str, sentence: str
) -> None:
    script = f"export SUDO_UID=65534 SUDO_GID=65534; {script} exec {RECORD}"
    if wrapper[-1] == "-c":
        run = subprocess.run(
            [*wrapper, script], env=PLAIN, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    else:
        run = in_shell(script, *wrapper)
    assert (run.returncode, run.stdout) == (1, "")
    assert sentence in run.stderr
    assert run.stderr.startswith("execwhy: ") and run.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("wrapper", "script"),
    [
        (
            ["unshare", "-m"],
            "mount -t tmpfs none /sys/kernel/tracing; mount -t tmpfs none /sys/kernel/debug;",
        ),
        (["unshare", "-m", "-p", "-f", "-u", "-i", "-n", "--mount-proc"], ""),
        ([], "ulimit -n 48;"),
    ],
    ids=["no tracefs", "as in a container", "few descriptors"],
)
def test_a_recording_works_without_optional_features(wrapper: list[str], script: str) -> None:
    run = in_shell(f"{script} {RECORD}", *wrapper)
    assert run.returncode == 0, run.stderr
    ending = parse_line(run.stdout.splitlines()[-1])
    assert isinstance(ending, Ending) and add_up(ending.counters)


def test_lockdown_is_named(tmp_path: Path) -> None:
    (tmp_path / "lockdown").write_text("none integrity [confidentiality]\n")
    assert "kernel lockdown is in confidentiality mode" in kernel._who_forbids(str(tmp_path / "lockdown"))
    (tmp_path / "lockdown").write_text("none [integrity] confidentiality\n")
    assert "lockdown" not in kernel._who_forbids(str(tmp_path / "lockdown"))


def why_it_failed(source: KernelSource) -> str:
    """Start it; the sentence with which it fails."""
    try:
        with pytest.raises(RuntimeError) as failed:
            Listener(source).start()
        assert source.status().stage is Stage.FAILED
    finally:
        source.close()
    return str(failed.value)


@pytest.mark.parametrize(
    ("before", "sentence"),
    [
        (
            "open('{0}', 'w').write('int broken(');"
            "from execwhy.bpf.program import text; text.PARTS += ('{0}',)",
            r"the BPF program does not compile or its maps are refused \(.+\): try another --plan.+",
        ),
        (
            "import os; os.write(2, b'libbpf: noise\\nand more\\n'); os._exit(3)",
            r"ended with status 3 \(and more\)",
        ),
        (
            "import os; os.kill(os.getpid(), 9)",
            r"was killed \(SIGKILL\), as the kernel does where memory runs out",
        ),
        ("raise RuntimeError", r"ended with status 1 \(RuntimeError\)"),
    ],
    ids=["compile failure", "noise", "killed", "a fault of the loader"],
)
def test_a_failing_loader_is_reported(
    before: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = bpf_descriptors()
    run = loader._RUN.replace("probe.main()", before.format(tmp_path / "broken.c") + "; probe.main()")
    monkeypatch.setattr(loader, "_RUN", run)
    assert re.search(sentence, why_it_failed(KernelSource()))
    assert bpf_descriptors() == held


def test_a_ring_buffer_that_the_kernel_refuses_is_reported() -> None:
    no_power_of_two = 3 * resource.getpagesize()
    assert "its maps are refused" in why_it_failed(KernelSource(ring_bytes=no_power_of_two))


@pytest.mark.parametrize("error", [MemoryError, ZeroDivisionError])
def test_a_reader_that_dies_hands_over_its_records_and_counts_the_rest(
    error: type[Exception], zoo: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = bpf_descriptors()
    original, left = Decoder.decode, 100

    def dying(self: Decoder, raw: bytes) -> object:
        nonlocal left
        if self is not source._reporter.decoder:  # the decoder of the other tests continues
            return original(self, raw)
        left -= 1
        if left < 0:
            raise error("--password=hunter2")
        return original(self, raw)

    source = KernelSource()
    listener = Listener(source)
    listener.start()
    monkeypatch.setattr(decode.Decoder, "decode", dying)
    subprocess.run([zoo / "storm", "/no/such", "dies", "4", "200"], check=True, capture_output=True)
    deadline = time.monotonic() + PATIENCE
    while source.status().stage is Stage.LIVE:
        assert time.monotonic() < deadline
        source.wait(0.1)
        listener.take()
    status = source.status()
    source.close()
    # Records that the thread queued before it stopped count as lost too.
    listener.take()
    assert status.stage is Stage.FAILED
    assert re.fullmatch(rf"the reader stopped \({error.__name__} in \w+\.py, line \d+\): .+\.", status.detail)
    counters = source.status().counters
    assert add_up(counters)
    unread = sum(loss.count for loss in listener.losses if loss.reason == READER_STOPPED)
    assert unread > 0
    assert unread == counters.losses[READER_STOPPED]
    assert len(listener.failures) == counters.recorded
    assert bpf_descriptors() == held


def test_a_reader_that_ends_normally_has_nothing_left() -> None:
    source = KernelSource()
    listener = Listener(source)
    listener.start()
    fail_to_exec("/execwhy-orderly")
    source.close()
    listener.take()
    assert len(listener.failures) == source.status().counters.recorded
    assert not [loss for loss in listener.losses if isinstance(loss, Loss) and loss.reason == READER_STOPPED]


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
def test_a_recording_ends_normally_with_its_terminal_or_by_a_signal(
    number: signal.Signals, tmp_path: Path
) -> None:
    path = f"/execwhy-{uuid.uuid4()}"
    with recording(tmp_path / "file", "--filter", f"path=={path}") as recorder:
        fail_to_exec(path)
        # It is held back for two seconds as part of an open search: it could get lost during that time.
        said = recorder.end(number)
    lines = (tmp_path / "file").read_bytes().splitlines()
    assert isinstance(parse_line(lines[-1]), Ending)
    assert [json.loads(line)["path"] for line in lines[1:-1]] == [path]
    assert "1 written to" in said


def test_a_recording_under_nohup_outlives_its_terminal(tmp_path: Path) -> None:
    path = f"/execwhy-{uuid.uuid4()}"

    command = f"trap '' HUP; exec {' '.join(COMMAND)} --record {tmp_path}/file"
    with subprocess.Popen(["sh", "-c", command], env=PLAIN, stderr=subprocess.DEVNULL) as process:
        wait_until(lambda: b'"plan"' in read(tmp_path / "file"))
        process.send_signal(signal.SIGHUP)
        fail_to_exec(path)
        wait_until(lambda: path.encode() in read(tmp_path / "file"))
        process.terminate()
        assert process.wait(PATIENCE) == 0


def read(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32k", "none", place], check=True)
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_records_omitted_because_of_a_full_disk_are_counted(small_disk: Path, zoo: Zoo) -> None:
    with recording(small_disk / "file") as recorder:
        subprocess.run([zoo / "storm", "/no/such", "fills", "4", "200"], check=True, capture_output=True)
        said = recorder.end()
        assert recorder.process.returncode == 1
    assert "there is too little free space for" in said and "free some, or choose another place." in said
    *records, ending = map(parse_line, (small_disk / "file").read_bytes().splitlines())
    assert isinstance(ending, Ending)
    left_out = sum(each.count for each in records if isinstance(each, Loss))
    assert ending.left_out == {NO_ROOM: left_out}
    assert ending.written is not None and ending.written + left_out >= 800


def test_a_recording_that_is_removed_ends_by_itself_and_says_so(tmp_path: Path) -> None:
    with recording(tmp_path / "file") as recorder:
        (tmp_path / "file").unlink()
        assert recorder.process.wait(PATIENCE) == 1
        said = recorder.end()
    assert "file was removed while it was written, and its content is lost: start execwhy again." in said
    assert said.endswith("file, which was removed meanwhile.\n")


def test_a_recording_of_arguments_that_are_not_text_stays_within_its_size_limit(tmp_path: Path) -> None:
    junk = os.fsdecode(b"\xff" * 8000)
    with recording(tmp_path / "file", "--max-bytes", "768K") as recorder:
        for number in range(100):
            fail_to_exec(f"/execwhy-no-text/{number}", junk, junk)
        said = recorder.end()
        assert recorder.process.returncode == 0
    data = (tmp_path / "file").read_bytes()
    *records, ending = map(parse_line, data.splitlines())
    assert len(data) <= 768 << 10
    assert isinstance(ending, Ending)
    left_out = sum(each.count for each in records if isinstance(each, Loss))
    written = [record for record in records if isinstance(record, ExecFailure)]
    ours = [record for record in written if (record.path or "").startswith("/execwhy-no-text/")]
    assert len(ours) > 15, "less than 30 KB each"
    assert (ending.written, ending.left_out) == (len(written), {"share of user 0": left_out})
    assert f"left out (share of user 0: {left_out:,})" in said


def test_a_working_directory_that_was_removed_is_not_needed(tmp_path: Path) -> None:
    run = in_shell(f"mkdir {tmp_path}/gone; cd {tmp_path}/gone; rmdir {tmp_path}/gone; {RECORD}")
    assert run.returncode == 0, run.stderr


def test_timestamps_are_right_in_a_time_namespace() -> None:
    path = f"/execwhy-{uuid.uuid4()}"
    record = " ".join([*COMMAND, "--record", "-", "--count", "1", "--filter", f"path=={path}"])
    script = f"{record} & while kill -0 $! 2>&-; do {path} 2>&-; sleep 0.1; done; wait $!"
    run = in_shell(script, "unshare", "-T", "--boottime", "864000", "--monotonic", "3600", "--fork")
    assert run.returncode == 0, run.stderr
    records = [parse_line(line) for line in run.stdout.splitlines()]
    (found,) = [record for record in records if isinstance(record, ExecFailure) and record.path == path]
    assert abs(found.timestamp - time.time_ns()) < 600 * 10**9


def test_a_recording_outlives_the_directory_it_is_in(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    with recording(place / "file") as recorder:
        (place / "file").rename(tmp_path / "moved")
        place.rmdir()
        fail_to_exec("/execwhy-after")
        said = recorder.end()
        assert recorder.process.returncode == 1
    assert "was renamed or replaced while it was written: recording continued in that same file" in said
    assert b"/execwhy-after" in read(tmp_path / "moved")


def test_a_screen_that_cannot_continue_exits_with_status_1_and_prints_the_reason() -> None:
    terminal_command = [
        "capsh",
        "--drop=cap_bpf,cap_sys_admin,cap_perfmon",
        "--",
        "-c",
        "exec " + " ".join(COMMAND),
    ]
    script = f"import os; os.execvp({terminal_command[0]!r}, {terminal_command!r})"
    terminal = Terminal("-c", script, size=(120, 30), environment=PLAIN)
    assert terminal.status() == 1
    assert terminal.modes_left_on() == []
    assert b"lacks CAP_BPF and CAP_PERFMON" in terminal.output
    assert bytes(terminal.output).rstrip().endswith(b"see execwhy --check for what each needs.")


def test_a_live_screen_ends_if_its_terminal_disappears() -> None:
    with on_terminal() as terminal:
        terminal.hang_up()
        deadline = time.monotonic() + PATIENCE
        while not os.waitpid(terminal.pid, os.WNOHANG)[0]:
            assert time.monotonic() < deadline, "it runs on without a terminal"
            time.sleep(0.05)


def test_too_little_memory_ends_the_program_and_leaves_no_file(tmp_path: Path) -> None:
    run = in_shell(
        f"ulimit -v 60000; exec {sys.executable} -I -m execwhy.tui.cli.main --record {tmp_path}/file"
    )
    assert run.returncode != 0
    assert "locals" not in run.stderr
    assert list(tmp_path.iterdir()) == []
