"""No user can have root advised to run a file of their choice, or to change a file that is not theirs."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from execwhy.bpf.events.record import ExecFailure
from execwhy.tui.why.causes import diagnose
from tests.live.circumstances import USER
from tests.live.listener import Listener

ATTACK = """
import ctypes, os, sys
libc, script, directory = ctypes.CDLL(None), sys.argv[1], sys.argv[2]
os.setgroups([]); os.setresgid({0}, {0}, {0}); os.setresuid({0}, {0}, {0})
def execute(path, argv, env, name=None):
    if not os.fork():
        if name:
            libc.prctl(15, name.encode()[:15], 0, 0, 0)
        try:
            os.execve(path, argv, env)
        except OSError:
            os._exit(0)
    os.wait()
execute("${{IFS}}rm${{IFS}}-rf${{IFS}}/home", ["x", script], {{}})
execute(directory + "/python3", ["env", script], {{"PATH": directory}}, os.path.basename(script))
execute(script, ["x", script], {{}})
execute(directory + "/text", ["x", script], {{}})
"""


@pytest.fixture
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


@pytest.fixture
def attack(place: Path, listener: Listener) -> dict[str, ExecFailure]:
    """Return failed execs of an unprivileged user: a path with blanks, root's script, own files."""
    script, theirs = place / "roots-own-script", place / "theirs"
    script.write_text("#!/usr/bin/env python3\n")
    script.chmod(0o644)
    theirs.mkdir()
    for name in ("pythom3", "text"):
        (theirs / name).write_text("x\n")
        (theirs / name).chmod(0o755)
        subprocess.run(["chown", str(USER), theirs, theirs / name], check=True)
    command = [sys.executable, "-IS", "-c", ATTACK.format(USER), str(script), str(theirs)]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return {Path(record.path or "").name: record for record in listener.records_with(str(script))}


def test_no_text_chosen_by_an_attacker_is_in_a_command(attack: dict[str, ExecFailure]) -> None:
    for name, code in {
        "home": "not-expanded",
        "python3": "missing-program-of-env",
        "roots-own-script": "no-execute-permission",
        "text": "no-shebang",
    }.items():
        diagnosis = diagnose(attack[name])
        assert diagnosis.code == code
        advice = diagnosis.advice or ""
        assert advice or name == "python3"
        assert all(word not in advice for word in ("`", "sed", "rm$", "roots-own")), advice
        assert not (name == "python3" and diagnosis.certain), "a process chooses its name and its arguments"
