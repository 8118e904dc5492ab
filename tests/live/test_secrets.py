"""No secret of a real process reaches a recording."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from execwhy.bpf.events.record import ExecFailure
from execwhy.tui.model.files.json_lines import parse_line
from execwhy.tui.model.text.secret_words import MASK
from tests.live.command import recording

_CALLER = """
import os

def fails(call, *arguments):
    if os.fork() == 0:
        try:
            call(*arguments)
        except OSError:
            os._exit(0)
    os.wait()

environment = {"PATH": "/usr/bin"}
fails(os.execve, "/nonexistent/first",
      ["curl", "--data", '{"password":"S3CRET-1"}', "--data", '{"apiKey":"S3CRET-2"}'], environment)
fails(os.execve, "/nonexistent/second",
      ["x", "Server=h;Uid=u;Pwd=S3CRET-3;", "https://u:S3CRET-4/x@h/"],
      {**environment, "WIFI_PSK": "S3CRET-5",
       "DOCKER_AUTH_CONFIG": '{"auths":{"r":{"auth":"S3CRET-6"}}}',
       "SLACK_WEBHOOK_URL": "https://hooks.slack.com/services/T0/B0/S3CRET-7"})
for line in ("curl -u bob:S3CRET-8 example.org", "env --db-pass S3CRET-9"):
    fails(os.execvpe, line, [line], environment)
fails(os.execve, "/nonexistent/last", ["x"], environment)
"""


def test_neither_the_recording_nor_the_messages_contain_a_secret(tmp_path: Path) -> None:
    output = tmp_path / "events.jsonl"
    with recording(output) as recorder:
        subprocess.run([sys.executable, "-I", "-c", _CALLER], check=True)
        recorder.wait_for("/nonexistent/last")
    text = output.read_text()
    records = [record for line in text.splitlines() if isinstance(record := parse_line(line), ExecFailure)]
    ours = [record for record in records if MASK in repr(record)]
    assert len(ours) >= 4
    assert "S3CRET" not in text
    summaries = [record.diagnosis.summary for record in ours if record.diagnosis is not None]
    assert sum("was taken for the name of one file" in summary for summary in summaries) == 2
