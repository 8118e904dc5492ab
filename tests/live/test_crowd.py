"""ETXTBSY names the process that writes a file, within a look's time, despite many other open files."""

from __future__ import annotations

import errno
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.live.command import recording

TRIES = 8
SECONDS_APART = 1.5
"""Makes each look begin its own list of open files rather than continue the last one."""
MOST_PROCESSES, MOST_FILES = 20, 1000

WRITER = """
import os, sys, time
if os.fork():
    os._exit(0)
kept = [open(path, "ab") for path in sys.argv[1:]]
os.write(1, b"%d\\n" % os.getpid())
time.sleep(600)
"""

CROWD = f"""
import os, time
for _ in range({MOST_FILES}):
    os.open("/dev/null", os.O_WRONLY)
os.write(1, b"x")
time.sleep(600)
"""


@pytest.fixture
def programs() -> Iterator[list[Path]]:
    directory = Path(tempfile.mkdtemp(prefix="execwhy-crowd-"))
    paths = [directory / f"program-{number}" for number in range(TRIES)]
    for path in paths:
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
    yield paths
    shutil.rmtree(directory)


def start(stack: ExitStack, code: str, *arguments: object) -> subprocess.Popen[bytes]:
    """Start a process apart from this one, and one that ends with the test."""
    command = [sys.executable, "-IS", "-c", code, *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
    stack.enter_context(process)
    stack.callback(process.kill)
    return process


def test_many_open_files_do_not_hide_a_writer_from_the_program(programs: list[Path], tmp_path: Path) -> None:
    """20 processes with 1,000 descriptors each used up a look's time, and no writer was named."""
    few, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(few, MOST_FILES + 100), max(most, MOST_FILES + 100)))
    output = tmp_path / "r.jsonl"
    with ExitStack() as stack, recording(output) as recorder:
        writer = start(stack, WRITER, *programs)
        assert writer.stdout is not None
        pid = int(writer.stdout.readline())
        stack.callback(subprocess.run, ["kill", "-9", str(pid)], check=True)
        # They are newer than the writer, and are listed first.
        crowd = [start(stack, CROWD) for _ in range(MOST_PROCESSES)]
        for one in crowd:
            assert one.stdout is not None and one.stdout.read(1) == b"x"
        for path in programs:
            with pytest.raises(OSError) as failed:
                subprocess.run([str(path)], check=False)
            assert failed.value.errno == errno.ETXTBSY
            recorder.wait_for(f'"path":"{path}"')
            time.sleep(SECONDS_APART)
        recorder.end()
    records = [json.loads(line) for line in output.read_text().splitlines()]
    summaries = [
        record["diagnosis"]["summary"] for record in records if record.get("path") in set(map(str, programs))
    ]
    assert len(summaries) == TRIES
    named = sum(f"(pid {pid}, fd " in summary for summary in summaries)
    # On a busy machine some looks end before they get that far.
    assert named >= TRIES // 4, summaries
