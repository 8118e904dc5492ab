"""The program on a real terminal: its output, and the state it leaves behind."""

from __future__ import annotations

import os
import re
import signal
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from execwhy.bpf.events.source import Counters, Origin
from execwhy.tui.model.files.json_lines import Header, event_line, header_line, parse_line
from tests.pty.terminal import PATIENCE, Terminal
from tests.unit.records import failure

ROOT = Path(__file__).parents[2]
PROGRAM = str(Path(__file__).with_name("program.py"))


@contextmanager
def opened(
    *arguments: str, size: tuple[int, int] = (80, 24), first: str = "TIME", **environment: str
) -> Iterator[Terminal]:
    known = {
        "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "TZ": "UTC",
        "LANG": "C.UTF-8", "HOME": "/",
    }  # fmt: skip
    terminal = Terminal(PROGRAM, *arguments, size=size, environment={**known, **environment})
    try:
        terminal.wait_for_text(first)
        yield terminal
    finally:
        try:
            os.kill(terminal.pid, signal.SIGKILL)
            os.waitpid(terminal.pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass


def test_keys_work_and_q_leaves_the_terminal_as_it_was() -> None:
    with opened("day") as terminal:
        terminal.wait_for_text("entrypoint.sh")
        terminal.type("/EACCES\r")
        terminal.wait_for_text("1 of 60 shown")
        terminal.wait_for_text("/ EACCES")
        terminal.type("c")
        terminal.wait_for_text("7 of 60 shown")
        terminal.type("q")
        assert terminal.status() == 0
        assert terminal.modes_left_on() == []


def test_a_resize_redraws_the_screen() -> None:
    with opened("day") as terminal:
        terminal.resize(120, 40)
        terminal.wait_for_text("COMM")
        terminal.resize(80, 24)
        terminal.wait_for(lambda: "COMM" not in terminal.text, "went back to 80 columns")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_restores_the_terminal(number: signal.Signals) -> None:
    with opened("day") as terminal:
        os.kill(terminal.pid, number)
        assert terminal.status() == 128 + number
        assert terminal.modes_left_on() == []


def test_an_interrupt_from_outside_restores_the_terminal() -> None:
    with opened("day") as terminal:
        os.kill(terminal.pid, signal.SIGINT)
        assert terminal.status() == 0
        assert terminal.modes_left_on() == []


def test_a_signal_ends_the_program_even_if_nobody_reads_its_output() -> None:
    with opened("day") as terminal:
        # Each of these redraws the whole screen, until the terminal accepts no more.
        terminal.type("\x0c" * 400)
        deadline, before = time.monotonic() + PATIENCE, -1
        while before != (before := wakings(terminal.pid)):
            assert time.monotonic() < deadline, "it never waited for its terminal"
            time.sleep(3)
        os.kill(terminal.pid, signal.SIGTERM)
        while not (ended := os.waitpid(terminal.pid, os.WNOHANG))[0]:
            assert time.monotonic() < deadline, "it waits for its terminal for ever"
            time.sleep(0.05)
        assert os.waitstatus_to_exitcode(ended[1]) == 128 + signal.SIGTERM


def wakings(pid: int) -> int:
    """Return how often its main thread has slept and woken: about ten times a second for the tick."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])


def test_bytes_that_are_not_text_do_not_end_the_program() -> None:
    with opened("day") as terminal:
        terminal.wait_for_text("entrypoint.sh")
        terminal.type_bytes(b"/\xff\xfe\x80\xc3(\x15EACCES\r")
        terminal.wait_for_text("1 of 60 shown")
        terminal.type("q")
        assert terminal.status() == 0


def test_stopping_restores_the_terminal_and_continuing_restores_the_screen() -> None:
    with opened("day") as terminal:
        terminal.wait_for_text("entrypoint.sh")
        os.kill(terminal.pid, signal.SIGTSTP)
        terminal.wait_for(lambda: stopped(terminal.pid), "stopped")
        while terminal.output_is_waiting():
            terminal.read()
        assert terminal.modes_left_on() == []
        seen = len(terminal.output)
        os.kill(terminal.pid, signal.SIGCONT)
        terminal.wait_for(lambda: b"ENOENT" in terminal.output[seen:], "drew it anew")
        terminal.type("/EACCES\r")
        terminal.wait_for_text("1 of 60 shown")
        terminal.type("q")
        assert terminal.status() == 0
        assert terminal.modes_left_on() == []


def stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def test_every_terminal_size_works_after_every_other() -> None:
    with opened("day") as terminal:
        for size in ((1, 1), (2, 1), (1, 30), (500, 2), (7, 3), (300, 120), (80, 24)):
            terminal.resize(*size)
            for _ in range(5):
                terminal.read(0.1)
        terminal.wait_for_text("TIME")
        terminal.type("q")
        assert terminal.status() == 0
        assert terminal.modes_left_on() == []


def test_the_terminal_size_in_the_environment_is_ignored(tmp_path: Path) -> None:
    lines = [event_line(failure(path="/some/path"), show_secrets=False)]
    origin = Origin("web-1", "6.1.0", 0, "fentry")
    (tmp_path / "file").write_text("".join([header_line(Header(origin, "", Counters(1, 1), 1)), *lines]))
    claims = {"PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "LINES": "100000", "COLUMNS": "100000"}
    terminal = Terminal(
        "-m",
        "execwhy.tui.cli.main",
        "--open",
        str(tmp_path / "file"),
        size=(100, 30),
        environment={**os.environ, **claims},
    )
    try:
        terminal.wait_for_text("/some/path")
        peak = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{terminal.pid}/status").read_text())
        assert peak is not None and int(peak[1]) < 300 << 10
        terminal.type("q")
        assert terminal.status() == 0
    finally:
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(terminal.pid, signal.SIGKILL)
            os.waitpid(terminal.pid, 0)


def test_nohup_does_not_keep_the_screen_alive_without_its_terminal() -> None:
    with opened("day", "nohup") as terminal:
        terminal.hang_up()
        deadline = time.monotonic() + PATIENCE
        while not os.waitpid(terminal.pid, os.WNOHANG)[0]:
            assert time.monotonic() < deadline, "it runs on without a terminal"
            time.sleep(0.05)


def test_a_crash_restores_the_terminal_and_prints_no_arguments() -> None:
    with opened("crash", first="execwhy stopped") as terminal:
        assert terminal.status() == 1
        assert terminal.modes_left_on() == []
        assert b"RuntimeError" in terminal.output
        assert b"program.py:" in terminal.output
        assert b"hunter2" not in terminal.output
        assert b"arguments" not in terminal.output


def test_a_crash_leaves_the_events_in_a_file() -> None:
    with opened("crash-later") as terminal:
        assert terminal.status() == 1
        assert terminal.modes_left_on() == []
        found = re.search(rb"events in memory are in (/\S+?\.jsonl)", terminal.output)
        assert found is not None
        file = Path(os.fsdecode(found[1]))
        try:
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            header, *events = map(parse_line, file.read_bytes().splitlines())
            assert isinstance(header, Header)
            assert len(events) == 63, "60 failures, 3 losses"
            assert b"hunter2" not in file.read_bytes() + terminal.output
        finally:
            file.unlink()


@pytest.mark.parametrize("size", [(80, 24), (250, 80)])
def test_no_text_chosen_by_a_process_controls_the_terminal(size: tuple[int, int]) -> None:
    with opened("hostile", size=size) as terminal:
        terminal.wait_for_text("owned")
        terminal.type("\t" if size[0] > 100 else "\r")
        terminal.wait_for_text("Environment")
        for key in ("+", "-", "k", "k", "w"):
            terminal.type(key)
            terminal.read(0.3)
        output = bytes(terminal.output)
        assert b"owned" in output
        osc = set(re.findall(rb"\x1b\]([0-9]*)", output))
        assert osc <= {b"22"}, "Textual sets the mouse pointer's shape, and nothing else is sent"
        assert b"\x9b" not in re.sub(rb"[\xc3-\xf4][\x80-\xbf]+", b"", output)
        assert "\x9b" not in output.decode("utf-8", "replace")
        assert "\u202e" not in output.decode("utf-8", "replace")
        assert b"\x1b[2J" not in output
        assert not re.search(rb"[\x00\x0e\x7f]", output)


def test_what_a_library_writes_to_standard_error_stays_off_the_screen() -> None:
    with opened("noisy") as terminal:
        terminal.read(1.0)
        assert b"libbpf" not in terminal.output
        terminal.type("q")
        assert terminal.status() == 0
        assert b"libbpf" not in terminal.output


def test_what_a_library_wrote_before_a_crash_is_printed_escaped() -> None:
    with opened("noisy-crash", first="execwhy stopped") as terminal:
        assert terminal.status() == 1
        assert b"libbpf: \\x1b]0;owned\\x07\\xff\r\n" in terminal.output
        assert b"a second line\r\n" in terminal.output
        assert b"\x1b]0;" not in terminal.output


def test_no_color_sends_no_colour() -> None:
    with opened("day", NO_COLOR="1", COLORTERM="truecolor") as terminal:
        terminal.type("kkk")
        terminal.read(0.5)
        coloured = re.findall(
            rb"\x1b\[(?:[0-9]+;)*(?:3[0-7]|4[0-7]|9[0-7]|10[0-7]|[34]8;[25])[0-9;]*m", terminal.output
        )
        assert coloured == []


def test_a_console_of_16_colours_gets_no_others() -> None:
    with opened("day", TERM="linux") as terminal:
        terminal.type("kkk")
        terminal.read(0.5)
        assert not re.search(rb"\x1b\[[0-9;]*[34]8;[25];", terminal.output)
        assert re.search(rb"\x1b\[[0-9;]*3[1-6]", terminal.output)


def test_keys_in_one_write_act_like_single_key_presses() -> None:
    with opened("day") as terminal:
        terminal.wait_for_text("entrypoint.sh")
        # Into the filter and out again, into it by another key, and out with Esc.
        terminal.type("/EACCES\rc/ENOEXEC\x1bk/ETXTBSY\x15comm:worker\rt2")
        terminal.wait_for_text("comm:worker")
        terminal.wait_for_text("▾RATE/s")
        terminal.wait_for_text("ERROR")
        terminal.type("\x1b\x1b?q/\x15make\rw\x15")
        terminal.wait_for_text("write a snapshot")
        terminal.wait_for_text("/ make")
        terminal.type("\x1bc")
        terminal.wait_for_text("7 of 60 shown")


def test_a_dialog_receives_keys_typed_before_it_opened(tmp_path: Path) -> None:
    first, second = tmp_path / "a.jsonl", tmp_path / "b.csv"
    with opened("day") as terminal:
        terminal.wait_for_text("entrypoint.sh")
        terminal.type(f"w\x15{first}\rw\x15{second}\r?\x1bq")
        assert terminal.status() == 0
    assert first.read_bytes().startswith(b"{")
    assert second.read_bytes().startswith(b"timestamp")


def test_alt_moves_by_words_in_an_input_line() -> None:
    with opened("day") as terminal:
        terminal.type("/path:/opt worker\x1bb\x1bbX")
        terminal.wait_for_text("/ path:/Xopt worker")


def test_text_pasted_after_a_key_goes_to_what_the_key_opens() -> None:
    with opened("day") as terminal:
        terminal.wait_for_text("entrypoint.sh")
        terminal.type("/\x1b[200~EACCES\x1b[201~\rt2")
        terminal.wait_for_text("1 of 60 shown")
        terminal.wait_for_text("/ EACCES")
        terminal.wait_for_text("RATE/s")
