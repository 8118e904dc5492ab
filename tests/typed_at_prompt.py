"""Type the beginning of a command and a tab into a real shell, like a user who has just installed it.

Run as ``python3 -I typed_at_prompt.py SHELL BEGINNING WHOLE``: ends with 0 where that makes the whole
of it. It needs nothing but Python, since it runs in the chroots of ``tests/chroot``.
"""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import sys
import time
from typing import Final

PATIENCE: Final = 60.0
"""Seconds for each thing waited for."""

_START: Final = {
    "bash": (["bash", "--norc", "-i"], "source /usr/share/bash-completion/bash_completion; PS1=read'y>'"),
    "zsh": (["zsh", "-f", "-i"], "autoload -Uz compinit; compinit -u -D; PROMPT=read'y>'"),
    "fish": (["fish", "-i"], "function fish_prompt; echo -n read'y>'; end"),
}
"""How each is started without what a user configures, and what is then typed; its prompt is ``ready>``."""


def is_completed(shell: str, beginning: str, whole: str) -> bool:
    """Return whether a tab behind the beginning completes the word."""
    command, setup = _START[shell]
    process, terminal = pty.fork()
    if process == 0:
        os.execvpe(command[0], command, {**os.environ, "TERM": "xterm"})
    shown = ""

    def shows(text: str) -> bool:
        nonlocal shown
        until = time.monotonic() + PATIENCE
        while text not in shown:
            if not select.select([terminal], [], [], max(0.0, until - time.monotonic()))[0]:
                return False
            try:
                chunk = os.read(terminal, 4096).decode(errors="replace")
            except OSError:
                return False
            if "\x1b[c" in chunk or "\x1b[0c" in chunk:
                os.write(terminal, b"\x1b[?62c")  # fish waits until the terminal has said what it is
            shown = re.sub(
                r"\r|\x1b(\[[0-9;?<>=]*[a-zA-Z]|[=>()][B0]?|\][^\a\x1b]*(\a|\x1b\\))", "", shown + chunk
            )
        return True

    try:
        os.write(terminal, f"{setup}\n".encode())
        if not shows("ready>"):
            raise TimeoutError(f"{shell} shows no prompt: {shown!r}")
        # The line is printed instead of run, by the text inserted before it.
        os.write(terminal, f"{beginning}\t\x01echo printed: \r".encode())
        return shows(f"\nprinted: {whole}")
    finally:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        os.close(terminal)


if __name__ == "__main__":
    sys.exit(0 if is_completed(*sys.argv[1:4]) else 1)
