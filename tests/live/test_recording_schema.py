"""A recording of real failed execs conforms to the published schema."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from tests.live.command import recording
from tests.schema import kind_of


def test_every_line_of_a_real_recording_conforms_to_the_schema(tmp_path: Path) -> None:
    directory = os.fsencode(tmp_path)
    script = directory + b"/\xff crlf"
    with open(script, "wb") as file:
        os.fchmod(file.fileno(), 0o755)
        file.write(b"#!/bin/sh\r\n")
    with recording(tmp_path / "recording.jsonl") as recorder:
        for arguments in ([script, b"\xfe"], [directory], [b"no-such-program-anywhere"]):
            with open(os.devnull, "rb") as nothing:
                try:
                    subprocess.run(arguments, stdin=nothing, check=False)
                except OSError:
                    continue
                raise AssertionError(f"{arguments!r} was executed")
        recorder.wait_for('"not-found"')
        recorder.end()
    lines = [json.loads(line) for line in recorder.output.read_text().splitlines()]
    kinds = [kind_of(line) for line in lines]
    assert kinds[0] == "header"
    assert kinds[-1] == "ending"
    ours = [line for line in lines if line.get("path", "").startswith(str(tmp_path))]
    assert {line["error"] for line in ours} == {"ENOENT", "EACCES"}
    assert any(line["binary"] and line["interpreter_path"] == "/bin/sh\r" for line in ours)
    assert any(line.get("search") for line in lines)
