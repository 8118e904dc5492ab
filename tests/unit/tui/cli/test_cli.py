"""The command line documents its options, does what they say, and answers mistakes with one sentence."""

from __future__ import annotations

import json
import os
import pty
import pwd
import re
import select
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from execwhy.bpf.events.record import ExecFailure, Look
from execwhy.bpf.events.source import Counters, Origin, Stage, Status
from execwhy.tui.cli import main as cli
from execwhy.tui.cli import record as recording_command
from execwhy.tui.cli.arguments import parse
from execwhy.tui.cli.filters import requested_filter
from execwhy.tui.cli.options import UsageError
from execwhy.tui.model.files import snapshot
from execwhy.tui.model.files.json_lines import Header
from execwhy.tui.model.query import parse as parse_query
from execwhy.tui.recording.result import Result
from tests.looks import ThreadSpawner
from tests.unit.records import failure

PROJECT = Path(__file__).parents[4]
PATIENCE = 120.0
NO_TERMINAL = {key: value for key, value in os.environ.items() if not key.startswith(("TEXTUAL", "NO_COLOR"))}


def execwhy(*options: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the command without a terminal."""
    return subprocess.run(
        [sys.executable, "-m", "execwhy.tui.cli.main", *options],
        cwd=PROJECT,
        env={**NO_TERMINAL, **more},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        start_new_session=True,
        timeout=PATIENCE,
        check=False,
    )


def imported(*options: str) -> set[str]:
    """Return the modules that are loaded after the command ran with these options."""
    script = (
        "import sys\nfrom execwhy.tui.cli.main import main\nstatus = main(sys.argv[1:])\n"
        "print('\\n' + '\\n'.join(sys.modules), file=sys.stderr)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, *options], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    return set(run.stderr.split())


def test_help_lists_every_option_with_examples() -> None:
    run = execwhy("--help")
    assert run.returncode == 0
    for option in (
        "--filter",
        "--uid",
        "--path",
        "--capture",
        "--plan",
        "--check",
        "--record",
        "--duration",
        "--count",
        "--open",
        "--history",
        "--history-bytes",
        "--max-args-bytes",
        "--max-env-bytes",
        "--show-secrets",
        "--theme",
        "--no-mouse",
        "--version",
        "--help",
        "examples:",
        "exit status:",
    ):
        assert option in run.stdout
    assert all(len(line) <= 100 for line in run.stdout.splitlines())


def test_help_names_the_manual() -> None:
    manual = execwhy("--help").stdout.rpartition("manual: man ")[2].strip()
    assert Path(shlex.split(manual)[0]).read_text(encoding="utf-8").count("\n.TH EXECWHY 8") == 1


def test_only_help_and_version_come_before_the_filter() -> None:
    before, _, _ = execwhy("--help").stdout.partition("what is shown")
    assert re.findall(r"^  (?:-., )?(--[a-z-]+)", before, re.MULTILINE) == ["--help", "--version"]


def test_the_examples_in_the_help_are_valid() -> None:
    examples = execwhy("--help").stdout.split("examples:")[1].split("exit status:")[0]
    for line in examples.strip().splitlines():
        line = re.sub(r"<\(.*?\)", "/dev/fd/63", line)
        words = shlex.split(line.split("   ")[0].split(" | ")[0])
        options = parse(words[words.index("execwhy") + 1 :])
        requested_filter(options)
        if options.capture:
            parse_query(options.capture).capture()


def test_version_prints_the_installed_version() -> None:
    from importlib.metadata import version

    run = execwhy("--version")
    assert (run.returncode, run.stdout) == (0, f"execwhy {version('execwhy')}\n")


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_commands_without_a_screen_do_not_import_it(option: str) -> None:
    modules = imported(option)
    assert (
        not {
            "textual",
            "rich",
            "bcc",
            "numpy",
            "execwhy.bpf.read.reader",
            "execwhy.bpf.load.probe",
            "execwhy.tui.screen.app",
        }
        & modules
    )


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--nonsense"], "unrecognized arguments: --nonsense: see execwhy --help."),
        (["nonsense"], "unrecognized arguments: nonsense"),
        (["make"], "make: execwhy watches the whole machine: start it, then run make in another shell."),
        (["--", "make", "-j4"], "start it, then run make in another shell."),
        (["--record", "-", "\x1b[2J"], r"then run \x1b[2J in another shell."),
        (["--filter", "errno==2", "comm:x"], "comm:x: give --filter one word, in quotes."),
        (["fails.jsonl"], "fails.jsonl: to show a recording, give it to --open."),
        (["--fil", "x"], "unrecognized arguments: --fil"),
        (["--uid"], "execwhy: --uid: expected one argument: see execwhy --help."),
        (["--uid", "no-such-user"], 'there is no user "no-such-user": give a name or a number'),
        (["--uid", "4294967295"], 'there is no user "4294967295"'),
        (["--uid", "\udcff"], r'there is no user "\xff"'),
        (["--plan", "best"], "invalid choice: 'best'"),
        (["--duration", "0", "--record", "-"], "not a number of seconds above 0"),
        (["--duration", "nan", "--record", "-"], "not a number of seconds above 0"),
        (["--count", "0", "--record", "-"], "not a whole number above 0"),
        (
            ["--count", "-1", "--record", "-"],
            '--count: "-1" is not a whole number above 0: give one such as 10.',
        ),
        (["--history", "0"], "not a whole number above 0"),
        (["--history-bytes", "0"], "give more than 0 bytes"),
        (["--history-bytes", "12X"], '"12X" is not a size: give one such as 65536, 64K, 512M or 2G'),
        (
            ["--record", "f", "--max-bytes", "64K", "--keep", "3"],
            "execwhy: --keep 3 needs --max-bytes 488K at least, so that each user has room for some records: "
            "choose a larger size, or keep more files.",
        ),
        (["--record", "f", "--max-bytes", "1G", "--keep", "1"], "whenever a file is full: give 2 or more."),
        (["--count", "3"], "--count needs --record: add --record FILE, or leave it out."),
        (["--duration", "3"], "--duration needs --record: add --record FILE, or leave it out."),
        (["--record", "-", "--open", "x"], "--open: leave it out beside --record."),
        (["--check", "--open", "x"], "--open: leave it out beside --check."),
        (["--check", "--uid", "0"], "--uid has no effect on --check"),
        (["--record", "-", "--no-mouse"], "--no-mouse concerns the screen"),
        (["--record", "-", "--history", "5"], "--history concerns the screen"),
        (["--open", "x", "--plan", "fentry"], "--plan concerns the kernel"),
        (["--open", "x", "--capture", "uid==0"], "--capture concerns the kernel"),
        (["--record="], "--record is empty"),
        (
            ["--record", "x.jsonl.GZ"],
            "--record writes JSON Lines and not .gz: end the name in .jsonl, or pipe",
        ),
        (["--record", "x.csv"], "--record writes JSON Lines and not .csv"),
        (["--path="], "--path is empty"),
        (["--capture="], "--capture is empty: give it a filter, or leave it out."),
        (["--capture", " ", "--record", "-"], "--capture is empty"),
        (["--filter", "uid=="], "--filter: "),
        (["--filter", "(a"], "--filter: "),
        (["--uid", "0", "--filter", "(a"], "at column 1 of: (a"),
        (["--uid", "0", "--filter", "a" * 4094], "a filter has at most 4096 characters"),
        (["--filter", "\x1b[2J ("], r"\x1b[2J"),
    ],
)
def test_an_invalid_command_line_exits_with_one_sentence_and_status_2(
    options: list[str], sentence: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(options) == 2
    captured = capfd.readouterr()
    assert captured.out == ""
    assert sentence in captured.err
    assert captured.err.startswith("execwhy: ") and captured.err.count("\n") == 1
    assert captured.err[:-1].isprintable()


@pytest.mark.parametrize("mode", [["--record", "-"], []])
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--capture", "comm:cron"], "--capture: "),
        (["--user", "4242424"], "--user: there is no user 4242424"),
        (["--max-args-bytes", "70000"], "--max-args-bytes is too large: give at most"),
        (["--capture", "uid=="], "--capture: "),
        (["--max-args-bytes", "1G"], "--max-args-bytes is too large: give at most"),
        (["--max-env-bytes", "1G"], "--max-env-bytes is too large: give at most"),
    ],
)
def test_what_the_kernel_does_not_support_exits_with_status_2_with_or_without_a_terminal(
    mode: list[str], options: list[str], sentence: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*mode, *options]) == 2
    assert sentence in capfd.readouterr().err


@pytest.mark.parametrize(
    ("problem", "said", "times"),
    [
        ("r.jsonl was renamed.", ["r.jsonl was renamed."], 0),
        ("r.jsonl is not complete.", ["r.jsonl is not complete. What fails is left out."], 0),
        ("the reader stopped.", ["r.jsonl is full."], 1),
        ("the reader stopped.", [], 1),
    ],
)
def test_a_recording_reports_its_problem_at_the_end_unless_a_notice_did(
    problem: str, said: list[str], times: int, capfd: pytest.CaptureFixture[str]
) -> None:
    result = Result(True, 3, Counters(3, 3), problem)
    assert recording_command.conclude(result, "r.jsonl", "", said) == 1
    text = capfd.readouterr().err
    assert text.count(problem) == times and "3 written to r.jsonl" in text


@pytest.mark.parametrize(("began", "rest"), [(True, "3 written to r.jsonl, 2 left out"), (False, "")])
def test_a_fault_that_ends_a_recording_is_reported_with_the_counters(
    began: bool, rest: str, capfd: pytest.CaptureFixture[str]
) -> None:
    fault: Exception | None = None
    try:
        raise IndexError("--password=hunter2")
    except IndexError as error:
        fault = error
    result = Result(began, 3, Counters(5, 5), left_out={"recording had failed": 2}, fault=fault)
    assert recording_command.conclude(result, "r.jsonl", "") == 1
    text = capfd.readouterr().err
    assert text.startswith("execwhy stopped: IndexError") and "test_cli.py" in text
    assert "hunter2" not in text and "nothing was recorded" not in text
    assert rest in text and ("5 seen = 5 recorded" in text) == began


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], ""),
        (["--filter", "a or b"], "a or b"),
        (["--uid", "0"], "uid==0"),
        (["--uid", "root"], "uid==0"),
        (["--path", "/opt/app"], "path:/opt/app**"),
        (["--uid", "0", "--path", "/opt/", "--filter", "a or b"], "uid==0 path:/opt/** (a or b)"),
        (["--uid", "0", "--filter", "comm=("], "uid==0 comm=("),
        (["--uid", "0", "--filter", "a or comm=("], "uid==0 (a or comm=( )"),
    ],
)
def test_uid_path_and_filter_options_are_combined(options: list[str], expected: str) -> None:
    assert requested_filter(parse(options)).text == expected


def test_a_user_can_be_given_by_name() -> None:
    user = pwd.getpwall()[-1]
    assert parse(["--uid", user.pw_name]).uid == user.pw_uid


@pytest.mark.parametrize(
    "prefix",
    [
        "/opt/app",
        "/opt/a b",
        "/opt/[x]*?",
        '/opt/"q"',
        "/opt/\\",
        "/opt/(",
        "./x",
        "/\udcff",
        "/ö",
        "-x",
        "/a:b=c",
    ],
)
def test_every_character_of_a_path_prefix_is_literal(prefix: str) -> None:
    query = requested_filter(parse([f"--path={prefix}"]))

    def matches(path: str) -> bool:
        record: ExecFailure = failure(path=path)
        return query.matches(record, 0)

    assert matches(prefix)
    assert matches(prefix + "/and/more")
    assert not matches("/before" + prefix)
    assert not matches(prefix[:-1])
    assert not matches(prefix[:-1] + "~" + "/more")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4096", 4096),
        ("64K", 65536),
        ("64k", 65536),
        ("64KiB", 65536),
        ("512M", 512 << 20),
        ("2G", 2 << 30),
        ("0", 0),
    ],
)
def test_sizes_have_units(text: str, size: int) -> None:
    assert parse(["--max-args-bytes", text]).max_args_bytes == size


@pytest.mark.parametrize(
    ("text", "size"), [("64K", 64 << 10), ("65537", 128 << 10), ("16M", 16 << 20), ("1G", 1 << 30)]
)
def test_the_ring_size_is_rounded_up_to_a_power_of_two(text: str, size: int) -> None:
    assert parse(["--ring-size", text]).ring_size == size


@pytest.mark.parametrize("text", ["0", "4096", "2G", "x"])
def test_an_invalid_ring_size_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="give one"):
        parse(["--ring-size", text])


def test_options_cannot_be_abbreviated() -> None:
    with pytest.raises(UsageError):
        parse(["--show"])


@pytest.mark.parametrize("options", [[], ["--record", "-"]])
def test_without_root_the_message_says_what_to_do(options: list[str]) -> None:
    # Imported before, since another user may not be able to read this directory.
    script = (
        "import os, sys\nfrom execwhy.tui.cli.main import main\n"
        "import execwhy.bpf.read.reader, execwhy.tui.model.query, execwhy.tui.recording.files.output\n"
        "import execwhy.tui.recording.recorder, execwhy.tui.why.lookers.dispatcher\n"
        "os.geteuid() or os.setresuid(65534, 65534, 65534)\nsys.exit(main(sys.argv[1:]))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, *options], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 1
    assert run.stderr == (
        "execwhy: watching execs needs root: run sudo execwhy, or open a recording with --open FILE.\n"
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="the kernel's side asks for root first")
def test_a_recording_never_replaces_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    run = execwhy("--record", str(tmp_path / "a"))
    assert (run.returncode, (tmp_path / "a").read_text()) == (1, "old")
    assert run.stderr == f"execwhy: {tmp_path / 'a'} exists: choose another name, or remove it.\n"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--open", "/nonexistent/file"], "/nonexistent/file cannot be read (No such file or directory)"),
        (["--open", "/"], "/ is a directory: give the name of a snapshot or a recording in it."),
        (["--open", "/dev/null"], "/dev/null"),
        (["--open", "-"], "the screen needs a terminal"),
    ],
)
def test_a_file_that_cannot_be_shown_gives_one_sentence_and_status_1(
    options: list[str], sentence: str
) -> None:
    run = execwhy(*options)
    assert run.returncode == 1
    assert sentence in run.stderr
    assert run.stderr.startswith("execwhy: ") and run.stderr.count("\n") == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="the kernel's side asks for root first")
def test_recording_to_a_closed_standard_output_gives_one_sentence() -> None:
    run = shell("--record - --count 1 >&-")
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr == "execwhy: standard output is closed: redirect it, or name a file.\n"


def test_a_file_that_is_opened_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    (tmp_path / "link").symlink_to("a")
    sentence = f"execwhy: --open: {tmp_path}/a and {{}} are the same file: leave one of them out.\n"
    for again in (f"{tmp_path}/a", f"{tmp_path}/link"):
        run = execwhy("--open", f"{tmp_path}/a", again)
        assert (run.returncode, run.stderr) == (2, sentence.format(again))
    run = shell(f"--open {tmp_path}/a - < {tmp_path}/link")
    assert (run.returncode, run.stderr) == (2, sentence.format("-"))


def test_without_a_terminal_opening_a_file_points_to_other_programs(
    tmp_path: Path,
) -> None:
    run = execwhy("--open", str(recording(tmp_path / "a.jsonl")))
    assert (run.returncode, run.stderr.count("\n")) == (1, 1)
    assert "needs a terminal" in run.stderr and "jq" in run.stderr and "--record" not in run.stderr
    (tmp_path / "b").write_text("hello\n")
    run = execwhy("--open", str(tmp_path / "b"))
    assert "is not a snapshot or recording of execwhy (line 1: it is not JSON)." in run.stderr


def test_a_closed_standard_input_is_refused() -> None:
    run = shell("--open - <&-")
    assert run.returncode == 2
    assert run.stderr == "execwhy: --open - reads standard input, and that is closed: give it a file.\n"


def test_with_standard_error_closed_no_message_ends_up_in_the_data() -> None:
    run = shell("--nonsense 2>&-")
    assert (run.returncode, run.stdout, run.stderr) == (2, "", "")


def test_no_file_gets_the_number_of_a_closed_descriptor() -> None:
    script = (
        "import os\nfrom execwhy.tui.cli import main as cli\ncli.parse = lambda _: os._exit(\n"
        "    [os.readlink(f'/proc/self/fd/{number}') for number in range(3)] != ['/dev/null'] * 3)\n"
        "cli.main([])"
    )
    run = subprocess.run(
        ["sh", "-c", 'exec "$0" -c "$1" <&- >&- 2>&-', sys.executable, script], cwd=PROJECT, check=False
    )
    assert run.returncode == 0


def shell(options: str) -> subprocess.CompletedProcess[str]:
    """Run the command with its descriptors as a shell makes them."""
    return subprocess.run(
        ["sh", "-c", f'exec "$0" -m execwhy.tui.cli.main {options}', sys.executable],
        cwd=PROJECT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def no_look(record: ExecFailure) -> Look:
    raise AssertionError("nothing failed")


def test_an_interrupt_before_the_hooks_are_attached_is_reported(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    class Slow:
        """A source whose operator interrupts it."""

        def start(self) -> None:
            signal.raise_signal(signal.SIGINT)

        def status(self) -> Status:
            return Status(Stage.COMPILING, "", Counters(), Origin("web-1", "6.1.0", 0))

        def close(self) -> None:
            pass

    monkeypatch.setattr(recording_command, "kernel_source", lambda options: (Slow(), ThreadSpawner(no_look)))
    assert cli.main(["--record", str(tmp_path / "a")]) == 0
    assert capfd.readouterr().err == (
        "execwhy: nothing was recorded, it ended before the hooks were attached: let it run longer.\n"
    )
    assert not (tmp_path / "a").exists()


def recording(path: Path) -> Path:
    header = Header(Origin("web-1", "6.1.0", 0, "tracepoint"), "", Counters(2, 2), 0)
    events = [failure(path="/opt/app/first"), failure(path="/opt/app/second")]
    snapshot.write(str(path), events, header, show_secrets=False)
    return path


class Terminal:
    """The command in a pseudo-terminal."""

    def __init__(
        self, options: Sequence[str], standard_input: Path | None, environment: dict[str, str]
    ) -> None:
        script = [sys.executable, "-m", "execwhy.tui.cli.main", *options]
        pid, self._descriptor = pty.fork()
        if pid == 0:
            os.chdir(PROJECT)
            if standard_input is not None:
                os.dup2(os.open(standard_input, os.O_RDONLY), 0)
            os.execve(script[0], script, {**NO_TERMINAL, "TERM": "xterm-256color", **environment})
        self.pid = pid
        self.output = b""

    def wait_for(self, text: bytes) -> None:
        deadline = time.monotonic() + PATIENCE
        while text not in self.output:
            assert time.monotonic() < deadline, self.output[-2000:]
            assert self._read(), self.output[-2000:]

    def press(self, keys: bytes) -> None:
        os.write(self._descriptor, keys)

    def status(self) -> int:
        while self._read():
            pass
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def close(self) -> None:
        os.close(self._descriptor)

    def _read(self) -> bool:
        select.select([self._descriptor], [], [], PATIENCE)
        try:
            data = os.read(self._descriptor, 65536)
        except OSError:
            # EIO: the other end was closed.
            data = b""
        self.output += data
        return bool(data)


@contextmanager
def in_terminal(*options: str, standard_input: Path | None = None, **environment: str) -> Iterator[Terminal]:
    terminal = Terminal(options, standard_input, environment)
    try:
        yield terminal
    finally:
        terminal.close()


def test_a_recording_on_standard_input_is_shown_and_the_keys_come_from_the_terminal(tmp_path: Path) -> None:
    with in_terminal("--open", "-", standard_input=recording(tmp_path / "a.jsonl")) as terminal:
        terminal.wait_for(b"second")
        terminal.press(b"q")
        assert terminal.status() == 0


def test_a_recording_is_shown_with_the_filter_of_the_command_line(tmp_path: Path) -> None:
    path = recording(tmp_path / "a.jsonl")
    with in_terminal("--open", str(path), "--path", "/opt/app/s") as terminal:
        terminal.wait_for(b"second")
        terminal.press(b"q")
        assert terminal.status() == 0
    assert b"/opt/app/first" not in terminal.output


def test_a_terminal_as_standard_input_is_refused_as_data() -> None:
    with in_terminal("--open", "-") as terminal:
        assert terminal.status() == 2
    assert b"--open - reads standard input: give it a file" in terminal.output


def test_a_file_that_is_not_a_recording_is_refused_before_the_screen_opens(tmp_path: Path) -> None:
    path = tmp_path / "passwd"
    path.write_text("root:x:0:0:root:/root:/bin/bash\n")
    with in_terminal("--open", str(path)) as terminal:
        assert terminal.status() == 1
    assert terminal.output.startswith(b"execwhy: ") and terminal.output.count(b"\n") == 1
    assert b"is not a snapshot or recording of execwhy" in terminal.output


def test_a_pipe_without_a_recording_ends_the_screen_with_its_sentence(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = os.open(pipe, os.O_RDWR)
    with in_terminal("--open", str(pipe)) as terminal:
        terminal.wait_for(b"No failed exec has come yet")
        os.write(writer, b"ssh: connect to host web-1: refused\n")
        os.close(writer)
        assert terminal.status() == 1
    _, _, after_screen = terminal.output.rpartition(b"\x1b[?1049l")
    assert b"execwhy: " in after_screen and after_screen.count(b"\n") == 1
    assert b"is not a snapshot or recording of execwhy" in after_screen


@pytest.mark.parametrize("term", ["dumb", ""])
def test_a_dumb_terminal_is_refused(term: str, tmp_path: Path) -> None:
    with in_terminal("--open", str(recording(tmp_path / "a")), TERM=term) as terminal:
        assert terminal.status() == 1
    assert b"cannot show a screen" in terminal.output


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to distrust its environment")
def test_the_environment_of_root_cannot_make_the_screen_import_code(tmp_path: Path) -> None:
    log = tmp_path / "log"
    path = recording(tmp_path / "a.jsonl")
    with in_terminal("--open", str(path), TEXTUAL_DRIVER="no.such:Driver", TEXTUAL_LOG=str(log)) as terminal:
        terminal.wait_for(b"second")
        terminal.press(b"q")
        assert terminal.status() == 0
    assert not log.exists()


def test_opening_a_recording_imports_neither_bcc_nor_the_kernel_side(tmp_path: Path) -> None:
    path = recording(tmp_path / "a.jsonl")
    script = (
        "import sys; sys.modules['bcc'] = None\n"
        "import execwhy.tui.terminal.terminal, json\n"
        "def run(app, *, mouse):\n"
        "    print(json.dumps([name for name in sys.modules if name.startswith('execwhy.bpf.')]))\n"
        "    return 0\n"
        "execwhy.tui.terminal.terminal.run = run\n"
        "import execwhy.tui.cli.main, execwhy.tui.cli.monitor\n"
        "execwhy.tui.cli.monitor.require_terminal = lambda instead: None\n"
        "sys.exit(execwhy.tui.cli.main.main(sys.argv[1:]))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, "--open", str(path)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert not {
        "execwhy.bpf.read.reader",
        "execwhy.bpf.load.probe",
        "execwhy.bpf.load.loader",
        "execwhy.bpf.read.ring",
    } & set(json.loads(run.stdout))


def test_a_locale_without_utf8_changes_no_path(tmp_path: Path) -> None:
    locale = tmp_path / "en_US.ISO-8859-1"
    made = subprocess.run(
        ["localedef", "-i", "en_US", "-f", "ISO-8859-1", str(locale)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    # It warns, with a non-zero status, about characters missing in the charmap.
    assert locale.exists(), f"this takes the packages libc-bin and locales: {made.stderr}"
    script = (
        "import os; from execwhy.tui.cli import main as cli\n"
        "cli._run = lambda arguments: print(os.fsencode(arguments[0]), os.fsencode('é')) or 0\n"
        "cli.main()"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, b"--nons\xe9nse"],
        env={**os.environ, "LOCPATH": str(tmp_path), "LC_ALL": "en_US.ISO-8859-1"},
        cwd=PROJECT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert run.stdout.strip() == r"b'--nons\xe9nse' b'\xc3\xa9'"


def test_a_machine_without_dev_null_gives_one_sentence() -> None:
    script = (
        "import os, sys; os.devnull = '/no/such/null'; os.close(0)\n"
        "from execwhy.tui.cli import main as cli; sys.exit(cli.main(['--version']))"
    )
    run = subprocess.run(
        [sys.executable, "-c", script],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stdout) == (1, "")
    assert (
        run.stderr == "execwhy: /dev/null cannot be opened (No such file or directory): mount or make it.\n"
    )
