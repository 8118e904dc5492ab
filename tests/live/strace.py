"""strace as a second witness of one exec."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from execwhy.bpf.events.record import ExecFailure
from tests.live.exec_child import PATIENCE

_CALL: Final = re.compile(r"(?:\d+\s+)?(execve|execveat)\((.*)\) += (?:-1 (E[A-Z0-9]+)|\?|0)")
_LINES: Final = re.MULTILINE | re.DOTALL
_STRING: Final = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')
_OTHER: Final = re.compile(r"[^,\]]+")


@dataclass(frozen=True)
class Text:
    """A string as strace shows it; ``cut`` if strace truncated it."""

    content: bytes
    cut: bool = False


Word = Text | None
"""None: strace could not read it either."""


@dataclass(frozen=True)
class Seen:
    """One failed call, as strace shows it.

    Attributes:
        syscall: Its name.
        path: The path.
        argv: The strings that are shown; None for a pointer that leads nowhere, or NULL.
        envp: The same.
        error: Name of the errno.
    """

    syscall: str
    path: Word
    argv: tuple[Word, ...] | None
    envp: tuple[Word, ...] | None
    error: str


class Witness:
    """A strace that is attached to a process for as long as that lives."""

    def __init__(self, output: str) -> None:
        self._output = output
        self._strace: subprocess.Popen[bytes] | None = None

    def attach(self, pid: int) -> None:
        """Attach to a process, and return once every thread of it is traced."""
        asleep = {task: _switches(pid, task) for task in os.listdir(f"/proc/{pid}/task")}
        options = ["-f", "-Z", "-xx", "-s", "4096", "-v", "-e", "trace=execve,execveat", "-e", "signal=none"]
        self._strace = subprocess.Popen(
            ["strace", "-qq", *options, "-o", self._output, "-p", str(pid)], stderr=subprocess.PIPE
        )
        deadline = time.monotonic() + PATIENCE
        # To be traced, a sleeping thread is woken, stops, and falls asleep again: it gives up its
        # processor twice. Before that its system calls are not seen, though it has a tracer.
        while not all(_switches(pid, task) >= before + 2 for task, before in asleep.items()):
            if time.monotonic() > deadline or self._strace.poll() is not None:
                raise RuntimeError(f"strace did not attach to {pid}")
            time.sleep(0.01)

    def seen(self) -> list[Seen]:
        """Return what it saw, after the process has ended."""
        assert self._strace is not None
        self._strace.communicate(timeout=PATIENCE)
        with open(self._output) as file:
            lines = file.read().splitlines()
        return [_parse(match) for match in map(_CALL.match, lines) if match and match[3]]

    def close(self) -> None:
        """End strace, if the test failed before the process ended."""
        if self._strace and self._strace.poll() is None:
            self._strace.terminate()
            self._strace.wait()


@contextmanager
def witness(output: str) -> Iterator[Witness]:
    """Yield a witness that writes to a file."""
    one = Witness(output)
    try:
        yield one
    finally:
        one.close()


def assert_same(record: ExecFailure, seen: Seen) -> None:
    """Assert that record and strace agree on everything that both know."""
    assert (record.syscall, record.error) == (seen.syscall, seen.error)
    _assert_same_string(record.path, record.truncated.path, seen.path)
    if record.killed_by:
        return
    for strings, cut, words in (
        (record.arguments, record.truncated.argument_indexes, seen.argv),
        (record.environment, record.truncated.environment_indexes, seen.envp),
    ):
        _assert_same_strings(strings, cut, words)
    for total, words in ((record.truncated.argc, seen.argv), (record.truncated.envc, seen.envp)):
        if words is not None and total is not None:
            assert total == len(words)


def _assert_same_strings(
    recorded: Sequence[str | None], cut: Sequence[int], seen: Sequence[Word] | None
) -> None:
    if seen is None:
        assert not any(recorded)
        return
    assert len(recorded) <= len(seen)
    for index, (string, word) in enumerate(zip(recorded, seen, strict=False)):
        # strace faults in untouched pages; recording does not.
        if string is not None:
            _assert_same_string(string, index in cut, word)


def _assert_same_string(recorded: str | None, cut: bool, seen: Word) -> None:
    if recorded is None or seen is None:
        assert recorded is None and seen is None
        return
    content = os.fsencode(recorded)
    if cut and seen.cut:
        assert content.startswith(seen.content) or seen.content.startswith(content)
    elif seen.cut:
        assert content.startswith(seen.content)
    elif cut:
        assert seen.content.startswith(content)
    else:
        assert content == seen.content


def _switches(pid: int, task: str) -> int:
    """Return how often a thread has given up its processor; wait until the thread is asleep."""
    deadline = time.monotonic() + PATIENCE
    while True:
        with open(f"/proc/{pid}/task/{task}/status", "rb") as file:
            status = file.read()
        if match := re.search(rb"^State:\tS.*^voluntary_ctxt_switches:\t(\d+)$", status, _LINES):
            return int(match[1])
        if time.monotonic() > deadline:
            raise RuntimeError(f"thread {task} of {pid} does not fall asleep")
        time.sleep(0.001)


def _parse(call: re.Match[str]) -> Seen:
    words = _Words(call[2])
    if call[1] == "execveat":
        words.one()
    path, argv, envp = words.one(), words.one(), words.one()
    assert not isinstance(path, tuple)
    return Seen(call[1], path, _array(argv), _array(envp), call[3])


def _array(words: Word | tuple[Word, ...]) -> tuple[Word, ...] | None:
    return words if isinstance(words, tuple) else None


class _Words:
    """The arguments of a call, one after the other."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def one(self) -> Word | tuple[Word, ...]:
        word: Word | tuple[Word, ...]
        if self._text.startswith("[", self._at):
            self._at += 1
            elements = []
            while not self._text.startswith("]", self._at):
                elements.append(self._word())
                self._pass(", ")
            self._at += 1
            word = tuple(elements)
        else:
            word = self._word()
        self._pass(", ")
        return word

    def _word(self) -> Word:
        if match := _STRING.match(self._text, self._at):
            self._at = match.end()
            return Text(bytes.fromhex(match[1].replace("\\x", "")), bool(match[2]))
        match = _OTHER.match(self._text, self._at)
        assert match, self._text[self._at :]
        self._at = match.end()
        return None

    def _pass(self, text: str) -> None:
        if self._text.startswith(text, self._at):
            self._at += len(text)
