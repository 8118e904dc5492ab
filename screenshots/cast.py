"""A recording of the screen for asciinema: the evening of ``scenario.py``, and someone at the keys.

Run with ``--show FILE`` it is the program that is recorded: the screen on the events of that file.
"""

from __future__ import annotations

import codecs
import fcntl
import json
import os
import pickle
import pty
import select
import struct
import sys
import tempfile
import termios
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from unittest import mock

from execwhy.bpf.events.arrivals import Report
from screenshots.clock import LAST, Recorded

SIZE: Final = (108, 30)
"""Columns and lines."""

_LEAD: Final = 1.5
"""Seconds of an empty screen before the first event."""

_LETTER: Final = 0.09
"""Seconds between two letters that are typed."""

UP, LEFT, RIGHT, ESCAPE, ENTER = "\x1b[A", "\x1b[D", "\x1b[C", "\x1b", "\r"

SCRIPT: Final[Sequence[tuple[float, str]]] = (
    (1.0, UP), (0.4, UP), (0.4, UP), (0.4, UP), (0.4, UP), (0.4, UP), (0.4, UP), (0.4, UP),
    (3.0, "/"), (0.5, "path:/opt/** "), (0.8, "error==EACCES"), (1.2, ENTER),
    (2.0, UP), (2.0, "c"),
    (1.2, "s"), (0.5, "why:missing"), (1.0, ENTER), (1.2, "n"), (1.2, "n"),
    (1.5, "t"), (1.8, RIGHT), (1.8, RIGHT), (1.8, ESCAPE),
    (1.0, "y"), (2.0, ESCAPE), (1.0, "?"), (3.0, ESCAPE), (0.8, "q"),
)  # fmt: skip
"""Seconds to wait, once all events have come, and what is then typed: a key, or a text letter by letter."""


def record(reports: Sequence[Report], path: Path) -> Path:
    """Play the script on a pseudo-terminal, and write what it showed, with its times.

    Args:
        reports: The events, on the fixed clock.
        path: The file, in the format asciicast v2.
    """
    with tempfile.NamedTemporaryFile() as file:
        file.write(pickle.dumps(list(reports)))
        file.flush()
        lasts = _LEAD + (reports[-1].timestamp - reports[0].timestamp) / 1e9
        shown = _play([sys.executable, "-m", "screenshots.cast", "--show", file.name], lasts)
    header = {
        "version": 2, "width": SIZE[0], "height": SIZE[1], "timestamp": LAST // 10**9, "title": "execwhy",
        "idle_time_limit": 3, "env": {"TERM": "xterm-256color"},
    }  # fmt: skip
    lines = [json.dumps(header), *(json.dumps([round(at, 3), "o", text]) for at, text in shown)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _play(command: Sequence[str], lasts: float) -> list[tuple[float, str]]:
    """What the command wrote while the script was typed, each piece with the seconds since its start.

    Args:
        command: What to run.
        lasts: Seconds that its events take to come.
    """
    pid, master = pty.fork()
    if pid == 0:
        environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor", "TZ": "UTC"}
        os.execve(command[0], list(command), environment)
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", SIZE[1], SIZE[0], 0, 0))
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    shown: list[tuple[float, str]] = []
    began = 0.0

    def watch(seconds: float) -> bool:
        nonlocal began
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if not select.select([master], [], [], left)[0]:
                continue
            try:
                chunk = os.read(master, 1 << 16)
            except OSError:
                return False
            # The second that Python takes to start is no part of the show.
            began = began or time.monotonic()
            if text := decoder.decode(chunk):
                shown.append((time.monotonic() - began, text))
        return True

    while not began and watch(0.1):
        pass
    watch(lasts)
    for pause, keys in SCRIPT:
        watch(pause)
        for letters in [keys] if keys.startswith(ESCAPE) else keys:
            os.write(master, letters.encode())
            watch(_LETTER)
    while watch(1.0):
        pass
    os.waitpid(pid, 0)
    os.close(master)
    return shown


def _show(path: str) -> int:
    """The screen on the events of a file that ``record`` has written."""
    from execwhy.tui.model.history.store import History
    from execwhy.tui.screen.app import ExecwhyApp
    from execwhy.tui.terminal import terminal

    reports: list[Report] = pickle.loads(Path(path).read_bytes())
    began = time.monotonic_ns()
    first = reports[0].timestamp - int(_LEAD * 1e9)
    with mock.patch("time.time_ns", lambda: first + time.monotonic_ns() - began):
        app = ExecwhyApp(Recorded(reports, _LEAD), history=History(), theme="dark", greets=True)
        return terminal.run(app, mouse=False)


if __name__ == "__main__":
    sys.exit(_show(sys.argv[2]))
