"""Random keys, clicks and sizes in the real program, while real storms come and all cores are busy.

EXECWHY_SOAK_SECONDS makes it longer (``make soak``: ten minutes); EXECWHY_SEED repeats the keys.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from tests.live.command import on_terminal
from tests.live.zoo import Zoo
from tests.pty.terminal import Terminal

SECONDS = float(os.environ.get("EXECWHY_SOAK_SECONDS", "20"))
SEED = int(os.environ.get("EXECWHY_SEED", "0")) or time.time_ns() % 10**9
UID = 61_237
ROUNDS = 60
_MOST_OUTPUT = 1 << 20

STORMS = """
import os, random, sys, time
random.seed(int(sys.argv[1]))
def fail(path, arguments=("x", "--token=y"), environment={}):
    try:
        os.execve(path, arguments, environment)
    except (OSError, ValueError):
        pass
def paths():
    fail(f"/execwhy-keys/{random.randrange(200)}")
def unlike():
    fail(f"/execwhy-keys/{random.getrandbits(60)}", (f"{random.getrandbits(60)}",) * 9)
def search():
    name = random.choice(("tool", "sh", "a[/]b"))
    for directory in ("/execwhy-a", "/execwhy-b", "/execwhy-c"):
        fail(f"{directory}/{name}", (name,), {"PATH": "/execwhy-a:/execwhy-b:/execwhy-c:/bin"})
def found():
    if not os.fork():
        try:
            os.execvpe("true", ("true",), {"PATH": "/execwhy-a:/execwhy-b:/usr/bin:/bin"})
        finally:
            os._exit(1)
    os.wait()
def huge():
    fail("/execwhy-keys/huge", tuple("y" * 90 for _ in range(90)), {f"V{n}": "z" * 90 for n in range(200)})
def hostile():
    fail(random.choice(("/tmp/\\x1b]0;owned\\x07", "/[@click=app.quit]x[/]", "/\\u202etxt", "/" + "p" * 4090, "")))
def errors():
    fail(random.choice(("/etc/passwd", "/etc", "/proc/self/mem", "/dev/null", "/etc/passwd/x", "/root/x")))
def quiet():
    time.sleep(0.05)
while True:
    storm, pause = random.choice((paths, unlike, search, found, huge, hostile, errors, quiet)), random.choice((0, 0.001))
    end = time.monotonic() + random.random() * 3
    while time.monotonic() < end:
        storm()
        time.sleep(pause)
"""  # noqa: E501

KEYS = (
    *"cftpfprhmMnNKyjkgGtwsS@?+- 12345678<>", "\r", "\r", "/", "\t", "\x1b[Z", "\x1b", "\x1b", "\x1b", "\x1b",
    "\x1b[A", "\x1b[B", "\x1b[C", "\x1b[D", "\x1b[5~", "\x1b[6~", "\x1b[H", "\x1b[F", "\x0c", "\x10", "\x15",
    "\x04", "\x7f", "\x17", "\x0b", "\x1bb", "\x1bOP", "\x1bOQ", "why:missing\r", "path:/execwhy-keys/**\r",
    "uid==0\x1b",
    "age<5s\r", "(", '"', "theme\r", "\x1b[200~pasted [/] text\x1b[201~",
)  # fmt: skip


@contextmanager
def storms(zoo: Zoo) -> Iterator[None]:
    """Within, all cores are busy, and a user's programs fail in many ways, one of them from four threads."""
    threads = f"while :; do {zoo / 'storm'} /execwhy-keys/one keys 4 400; sleep 0.3; done"
    commands = [
        [sys.executable, "-c", STORMS, str(SEED)],
        ["sh", "-c", threads],
        *[[sys.executable, "-c", "while True: pass"]] * 2,
    ]
    started = [
        subprocess.Popen(
            command, stdout=subprocess.DEVNULL, user=UID, group=UID, extra_groups=[], start_new_session=True
        )
        for command in commands
    ]
    try:
        yield
        assert all(process.poll() is None for process in started), "a storm has ended by itself"
    finally:
        for process in started:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def act(terminal: Terminal, random: Random, done: deque[str]) -> None:
    """Do one thing."""
    kind = random.random()
    if kind < 0.85:
        key = random.choice(KEYS)
    elif kind < 0.97:
        button, x, y = random.choice((0, 0, 0, 64, 65)), random.randrange(1, 121), random.randrange(1, 41)
        key = f"\x1b[<{button};{x};{y}M" + (f"\x1b[<0;{x};{y}m" if not button else "")
    else:
        size = random.randrange(1, 200), random.randrange(1, 60)
        done.append(f"size {size}")
        terminal.resize(*size)
        return
    done.append(repr(key))
    terminal.type(key)


def drain(terminal: Terminal, seconds: float) -> bool:
    """Take in what was painted, without looking at it; False once the program has ended."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        if not terminal.read_unseen(left):
            return False
    del terminal.output[:-_MOST_OUTPUT]
    return True


def press(terminal: Terminal, random: Random, done: deque[str], until: float) -> bool:
    """Do things until then, about as fast as a hand can; False where the program has ended by itself."""
    while time.monotonic() < until:
        act(terminal, random, done)
        if not drain(terminal, random.choice((0.01, 0.1, 0.3))):
            return False
        assert b"fault of this program" not in terminal.output
        assert b"part of the screen failed" not in terminal.output
    return True


def test_random_keys_during_storms_do_not_end_the_program(
    zoo: Zoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    random, done = Random(SEED), deque[str](maxlen=60)
    until = time.monotonic() + SECONDS
    try:
        while time.monotonic() < until:
            with on_terminal(width=120) as terminal:
                with storms(zoo):
                    runs = press(terminal, random, done, min(until, time.monotonic() + 120))
                terminal.resize(120, 30)
                # Keys are processed in order: the last one is processed after all others.
                for _ in range(ROUNDS):
                    if not runs:
                        break
                    terminal.type("\x1b\x1b\x1bq")
                    runs = drain(terminal, 2.0)
                assert terminal.status() == 0, bytes(terminal.output[-3000:])
                assert terminal.modes_left_on() == []
                assert b"fault of this program" not in terminal.output
    except BaseException:
        with capsys.disabled():
            print(f"\nEXECWHY_SEED={SEED}; last: {' '.join(done)}")
        raise
