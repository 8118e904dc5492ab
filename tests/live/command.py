"""The program as an operator runs it, headless or on a terminal, and its state in /proc."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.live.exec_child import PATIENCE
from tests.pty.terminal import Terminal

PROJECT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-I", "-m", "execwhy.tui.cli.main")
PLAIN = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": "/", "TERM": "xterm-256color", "TZ": "UTC"}


class Recorder:
    """``execwhy --record FILE``, once its hooks are attached."""

    def __init__(self, output: Path, process: subprocess.Popen[str]) -> None:
        self.output = output
        self.process = process

    @property
    def pid(self) -> int:
        """Return the pid of the program itself."""
        return self.process.pid

    def wait_for(self, text: str) -> None:
        """Wait until the recording has a text."""
        deadline = time.monotonic() + PATIENCE
        while text not in (self.output.read_text() if self.output.exists() else ""):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise TimeoutError(f"{text!r} was not recorded; it said {self.end()!r}")
            time.sleep(0.05)

    def end(self, number: int = signal.SIGTERM) -> str:
        """End it; what it said on standard error."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.communicate(timeout=PATIENCE)[1]


@contextmanager
def recording(output: Path, *options: str, **environment: str) -> Iterator[Recorder]:
    """Record to a file that does not exist yet; the block runs with the hooks attached."""
    with subprocess.Popen(
        [*COMMAND, "--record", str(output), *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**PLAIN, **environment},
        cwd="/",
    ) as process:
        recorder = Recorder(output, process)
        try:
            recorder.wait_for('"plan"')
            yield recorder
        finally:
            process.kill()


@contextmanager
def on_terminal(
    *options: str, first: str = "live", width: int = 100, environment: Mapping[str, str] = PLAIN
) -> Iterator[Terminal]:
    """Open the screen on a pseudo-terminal; the block runs once it shows ``first``."""
    arguments = (*COMMAND[2:], *options)
    terminal = Terminal(COMMAND[1], *arguments, size=(width, 30), environment=environment)
    try:
        terminal.wait_for_text(first)
        yield terminal
    finally:
        try:
            os.kill(terminal.pid, signal.SIGKILL)
            os.waitpid(terminal.pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass


def status_of_threads(pid: int) -> list[dict[str, str]]:
    """Return /proc/PID/task/*/status of each thread, as a mapping by field name."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        lines = (task / "status").read_text().splitlines()
        found.append({key: value.strip() for key, _, value in (line.partition(":") for line in lines)})
    return found
