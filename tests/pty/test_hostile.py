"""Random hostile texts in every field that a process controls, on a real terminal: each byte is checked."""

from __future__ import annotations

import csv
import io
import os
import signal
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from execwhy.bpf.events.arrivals import Event
from execwhy.bpf.events.loss import Loss
from execwhy.bpf.events.record import Ancestor, Binary, Diagnosis, ExecFailure, Search
from execwhy.bpf.events.source import Counters, Origin
from execwhy.tui.model.files.json_lines import Header, event_line, header_line
from tests.hostile import SEQUENCES, texts
from tests.pty.stream import foreign
from tests.pty.terminal import Terminal
from tests.pty.test_terminal import PROGRAM, ROOT
from tests.unit.records import failure

START = 1_795_557_012_031_000_000
SIZES = ((250, 80), (80, 24), (120, 40))
ENVIRONMENT = {
    "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "TZ": "UTC",
    "LANG": "C.UTF-8", "HOME": "/",
}  # fmt: skip
ESCAPE = "\x1b"
LONG_PATH, LONG_ARGUMENT = 4096, 128 << 10

batches = st.lists(texts, min_size=12, max_size=12, unique=True)
all_at_once = ["".join(SEQUENCES[first::12]) for first in range(12)]
few = settings(
    max_examples=1,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def hostile_record(number: int, text: str, other: str) -> ExecFailure:
    """Return a record with hostile text wherever a process, a file system or a file can put it."""
    seconds = 1_000_000_000
    return replace(
        failure(f"/tmp/{text}", (text, other, f"--password={text}"), (f"{text}={other}", f"A={text}", text)),
        timestamp=START + number * seconds,
        binary=Binary(f"/{other}", 1, text, 2, START, 0o100755, "resolved", 1, 1, 3),
        interpreter_path=text,
        stdin_path=other,
        comm=text,
        parent_comm=other,
        ancestors=(Ancestor(3, text), Ancestor(1, other)),
        cwd=f"/{text}",
        root=f"/{other}",
        tty=text,
        cgroup=f"/{text}",
        unit=f"{text}.service",
        container_id=other,
        killed_by=text,
        syscall=other,
        host=text,
        diagnosis=Diagnosis(text or "x", f"{text} {other}", (other, text), text, False, f"{other}{text}"),
        search=Search(number, text, 2, "not-found", None) if number % 3 == 0 else None,
    )


def hostile_events(chosen: Sequence[str]) -> list[Event]:
    """Return records with every hostile text, and very long ones."""
    shifted = (*chosen[1:], *chosen[:1])
    events: list[Event] = [
        hostile_record(number, *pair) for number, pair in enumerate(zip(chosen, shifted, strict=True))
    ]
    everything = "".join(SEQUENCES)
    long_path = "/" + everything * (LONG_PATH // len(everything) + 1)
    argument = everything * (LONG_ARGUMENT // len(everything) + 1)
    last = replace(events[-1], timestamp=START + len(chosen) * 10**9)
    assert isinstance(last, ExecFailure)
    last = replace(last, path=long_path[:LONG_PATH], arguments=(argument,), environment=(argument,))
    return [*events, last, Loss(last.timestamp + 1, 3, chosen[0])]


def lines(events: Sequence[Event], host: str, query: str) -> bytes:
    """Return a recording of them, with a header that is just as hostile."""
    header = Header(Origin(host, host, START, host), query, Counters(20, 20), START)
    return "".join(
        [header_line(header), *(event_line(event, show_secrets=True) for event in events)]
    ).encode()


@contextmanager
def opened(size: tuple[int, int], program: str, *arguments: str) -> Iterator[Terminal]:
    with tempfile.TemporaryDirectory() as somewhere, chdir(somewhere):
        terminal = Terminal(program, *arguments, size=size, environment=ENVIRONMENT)
    try:
        terminal.wait_for_text("TIME")
        yield terminal
    finally:
        try:
            os.kill(terminal.pid, signal.SIGKILL)
            os.waitpid(terminal.pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass


def press(terminal: Terminal, *keys: str) -> None:
    """Type, and wait until it is painted: the output is tested, not its timing."""
    for key in keys:
        terminal.type(key)
        if key == ESCAPE:
            # Right before another key, it would begin an escape sequence.
            terminal.read(0.2)
            terminal.read(0.2)
        for _ in range(20):
            before = len(terminal.output)
            terminal.read(0.03)
            if len(terminal.output) == before:
                break


def look_everywhere(terminal: Terminal, pasted: str) -> None:
    """Bring every surface onto the screen, with what comes from the records in it."""
    pasted = pasted.replace("\x1b[201~", "").replace("/", "_")
    press(terminal, "g", "\r", "\t", *"jjjjjjjjjjjj", "y", "\t", "j", "y")
    for _ in range(7):
        press(terminal, "\x1b[C", "+", "c", "-", "c")
    press(terminal, "K", "+", "K", "c", "c", "c", "h")
    press(terminal, "t", *"12345678", "y", "+", "c", "t", "t", "\r", ESCAPE)
    press(terminal, "?", ESCAPE, "w", f"\x1b[200~{pasted}\x1b[201~", "\r", ESCAPE)
    press(terminal, "/", f"\x1b[200~{pasted}\x1b[201~", "\r", ESCAPE, "c")
    press(terminal, "\x10", f"\x1b[200~{pasted}\x1b[201~", ESCAPE, ESCAPE, "G")


def save(terminal: Terminal, path: Path) -> None:
    """Write a snapshot."""
    press(terminal, "w")
    terminal.wait_for_text("write a snapshot")
    terminal.wait_for_text("execwhy-")
    press(terminal, "\x15")
    terminal.wait_for(lambda: "execwhy-" not in terminal.text, "removed the name that it offers")
    press(terminal, f"{path}\r")
    terminal.wait_for(path.exists, f"wrote {path}")
    terminal.wait_for(lambda: "write a snapshot" not in terminal.text, "closed the dialog")


@few
@example(all_at_once, (250, 80))
@given(batches, st.sampled_from(SIZES))
def test_only_text_and_the_programs_own_sequences_reach_the_terminal(
    chosen: list[str], size: tuple[int, int]
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        (place / "events").write_bytes(lines(hostile_events(chosen), chosen[0], ""))
        with opened(size, PROGRAM, "file", str(place / "events")) as terminal:
            terminal.wait_for_text("16 failed")
            for name in ("x.csv", "x.svg", "x.jsonl"):
                save(terminal, place / name)
            look_everywhere(terminal, chosen[1])
            os.kill(terminal.pid, signal.SIGTERM)
            assert terminal.status() == 128 + signal.SIGTERM
            assert foreign(bytes(terminal.output)) == []
            assert terminal.modes_left_on() == []
        assert_inert_table((place / "x.csv").read_text(encoding="utf-8"))
        assert_plain_picture((place / "x.svg").read_text(encoding="utf-8"))
        assert (place / "x.jsonl").read_bytes().isascii()


@few
@example(all_at_once, (80, 24))
@given(batches, st.sampled_from(SIZES))
def test_a_hostile_file_with_a_hostile_name_is_shown_escaped(
    chosen: list[str], size: tuple[int, int]
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        name = os.fsencode(chosen[2]).replace(b"/", b"_").replace(b"\0", b"")[:200] or b"x"
        path = os.path.join(os.fsencode(directory), name + b".jsonl")
        damaged = f'{{"execwhy":1}}\n{{"path": {chosen[0]!a}}}\n'.encode()
        with open(path, "wb") as file:
            file.write(lines(hostile_events(chosen), chosen[0], chosen[1]) + damaged)
        with opened(size, "-m", "execwhy.tui.cli.main", "--open", os.fsdecode(path)) as terminal:
            look_everywhere(terminal, chosen[3])
            os.kill(terminal.pid, signal.SIGTERM)
            assert terminal.status() == 128 + signal.SIGTERM
            assert foreign(bytes(terminal.output)) == []


def assert_inert_table(text: str) -> None:
    """Assert that every cell is printable and none is a formula."""
    csv.field_size_limit(64 * LONG_ARGUMENT)
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert len({len(row) for row in rows}) == 1 and len(rows) > 12
    for row in rows[1:]:
        for cell in row:
            assert foreign(cell.encode()) == []
            bare = cell.lstrip()
            assert not bare.startswith(("=", "+", "@", "＝", "＋", "－", "＠")), cell
            assert not bare.startswith("-") or bare[1:].isdigit(), cell


def assert_plain_picture(text: str) -> None:
    """Assert that it is XML, without scripts or links, and all of its text is printable."""
    for element in ElementTree.fromstring(text).iter():
        name = element.tag.rpartition("}")[2]
        assert name in {"svg", "style", "defs", "clipPath", "rect", "g", "text", "circle"}, name
        assert not [key for key in element.attrib if "href" in key or key.startswith("on")]
        if name == "text":
            # Rich writes blanks as no-break spaces, and ends each row.
            shown = (element.text or "").replace("\xa0", " ").strip("\n")
            assert foreign(shown.encode("utf-8")) == []
