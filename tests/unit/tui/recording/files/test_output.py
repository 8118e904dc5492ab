"""The output of a recording: a new file, or the given standard output."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from execwhy.tui.model.files.live_file import LiveFile
from execwhy.tui.model.files.safe_file import Existing, SnapshotError
from execwhy.tui.recording.files.output import UNREAD, StandardOutput, open_output

PROJECT = Path(__file__).parents[5]


def test_a_closed_reader_of_standard_output_raises_its_own_exception() -> None:
    script = (
        "import sys; sys.path.insert(0, '.')\n"
        "from execwhy.tui.recording.files.output import ReaderGone, StandardOutput\n"
        "try:\n"
        "    while True: StandardOutput().write(b'x' * 100_000)\n"
        "except ReaderGone: sys.exit(7)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=PROJECT) as process:
        assert process.stdout is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.wait(60) == 7


@pytest.mark.parametrize("leaves", [True, False])
def test_a_pipe_without_readers_is_detected_without_writing(leaves: bool) -> None:
    script = (
        "import sys; sys.path.insert(0, '.')\n"
        "from execwhy.tui.recording.files.output import StandardOutput\n"
        "sys.stdin.read()\n"
        "sys.exit(7 if StandardOutput().is_wanted else 8)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=PROJECT
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        if leaves:
            process.stdout.close()
        process.stdin.close()
        assert process.wait(60) == (8 if leaves else 7)


def test_full_or_closed_standard_output_is_reported_in_one_sentence() -> None:
    script = (
        "import sys, os; sys.path.insert(0, '.')\n"
        "from execwhy.tui.model.files.safe_file import SnapshotError\n"
        "from execwhy.tui.recording.files.output import StandardOutput\n"
        "for _ in range(2):\n"
        "    try: StandardOutput().write(b'x')\n"
        "    except SnapshotError as error: print(error, file=sys.stderr)\n"
        "    os.closerange(1, 2)\n"
    )
    with open("/dev/full", "wb") as full:
        run = subprocess.run(
            [sys.executable, "-c", script],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            cwd=PROJECT,
            check=True,
        )
    first, second = run.stderr.splitlines()
    assert first.startswith("standard output could not be written, since there is no room for it")
    assert second == "standard output is closed: redirect it, or name a file."


def test_the_output_is_a_new_file_or_standard_output(tmp_path: Path) -> None:
    assert isinstance(open_output("-"), StandardOutput)
    output = open_output(str(tmp_path / "a"))
    assert isinstance(output, LiveFile)
    output.close()
    with pytest.raises(Existing):
        open_output(str(tmp_path / "a"))


def test_a_broken_device_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "write", broken)
    with pytest.raises(SnapshotError, match="Input/output error"):
        StandardOutput().write(b"x")


def test_a_pipe_that_nobody_reads_does_not_hold_up_the_end() -> None:
    script = (
        "from execwhy.tui.recording.files import output\n"
        "output.PATIENCE = 0.5\n"
        "out = output.StandardOutput()\n"
        "out.hurry()\n"
        "try: out.write(b'x' * 1_000_000)\n"
        "except output.SnapshotError as error: raise SystemExit(str(error))\n"
    )
    reader, writer = os.pipe()
    try:
        run = subprocess.run(
            [sys.executable, "-c", script], stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60,
            check=False,
        )  # fmt: skip
    finally:
        os.close(reader)
        os.close(writer)
    assert run.stderr == f"{UNREAD}\n"
