"""A real pseudo-terminal with a program, read by a terminal emulator."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Callable, Mapping

import pyte

PATIENCE = 90.0
"""Seconds to wait for something that must happen; the machine may be busy."""

_MODES = ("1049", "1000", "1003", "1006", "2004", "1004")


class Terminal:
    """Runs a Python program, keeps everything it writes, and feeds it to an emulator."""

    def __init__(
        self, program: str, *arguments: str, size: tuple[int, int] = (80, 24), environment: Mapping[str, str]
    ) -> None:
        self.output = bytearray()
        self._screen = pyte.Screen(*size)
        self._stream = pyte.ByteStream(self._screen)
        self.pid, self._master = pty.fork()
        if self.pid == 0:
            os.execve(sys.executable, [sys.executable, program, *arguments], dict(environment))
        self.resize(*size)

    def resize(self, width: int, height: int) -> None:
        """Set another size, like a window that is resized."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        self._screen.resize(height, width)

    def type(self, keys: str) -> None:
        """Type."""
        self.type_bytes(keys.encode())

    def type_bytes(self, keys: bytes) -> None:
        """Type what need not be text."""
        os.write(self._master, keys)

    def read(self, seconds: float = 0.1) -> bool:
        """Take in what was written; False once the terminal is closed."""
        if not select.select([self._master], [], [], seconds)[0]:
            return True
        try:
            chunk = os.read(self._master, 65536)
        except OSError:
            return False
        self.output += chunk
        # The emulator does not know kitty's key protocol and would print its parameters.
        self._stream.feed(re.sub(rb"\x1b\[[<>][0-9]*u", b"", chunk))
        return bool(chunk)

    def read_unseen(self, seconds: float = 0.1) -> bool:
        """Read output that is not looked for on the screen: many times as fast."""
        if select.select([self._master], [], [], seconds)[0]:
            try:
                self.output += os.read(self._master, 65536)
            except OSError:
                return False
        return True

    def output_is_waiting(self) -> bool:
        """More was written than has been read."""
        return bool(select.select([self._master], [], [], 0.2)[0])

    @property
    def text(self) -> str:
        """Return the text of the screen."""
        return "\n".join(self._screen.display)

    def wait_for(self, holds: Callable[[], bool], what: str) -> None:
        """Read until something holds."""
        deadline = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < deadline, f"never {what}; the screen is\n{self.text}"
            assert self.read() or holds(), f"it ended before {what}; it wrote\n{self.output[-2000:]!r}"

    def wait_for_text(self, text: str) -> None:
        """Read until a text is on the screen."""
        self.wait_for(lambda: text in self.text, f"showed {text!r}")

    def status(self) -> int:
        """Wait for the end; the exit status, negative for a signal."""
        deadline = time.monotonic() + PATIENCE
        while True:
            self.read(0.05)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                while self.read(0.2) and select.select([self._master], [], [], 0.2)[0]:
                    pass
                return os.waitstatus_to_exitcode(status)
            if time.monotonic() > deadline:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                raise AssertionError(f"it never ended; the screen is\n{self.text}")

    def modes_left_on(self) -> list[str]:
        """Private modes that were switched on and not off again, and whether the cursor is hidden."""
        output = bytes(self.output)
        left = [
            mode
            for mode in _MODES
            if output.rfind(f"\x1b[?{mode}h".encode()) > output.rfind(f"\x1b[?{mode}l".encode())
        ]
        if output.rfind(b"\x1b[?25l") > output.rfind(b"\x1b[?25h"):
            left.append("hidden cursor")
        return left

    def hang_up(self) -> None:
        """Close the terminal, as when a window or a connection is closed."""
        os.close(self._master)
