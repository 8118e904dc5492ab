"""Advice that is a command does what it says: once it was followed, the program runs."""

from __future__ import annotations

import gzip
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.why.failing import failed_exec
from tui.model.printable import printable
from tui.why import diagnose

SCRIPT = b"#!/bin/sh\necho done\n"


def file_of(content: bytes, mode: int = 0o755, name: str = "it's a job") -> Callable[[Path], Path]:
    """Makes a file; its name needs quoting."""

    def make(directory: Path) -> Path:
        path = directory / name
        path.write_bytes(content)
        path.chmod(mode)
        return path

    return make


def by_interpreter(mode: int) -> Callable[[Path], Path]:
    def make(directory: Path) -> Path:
        interpreter = file_of(SCRIPT, mode, "interpreter")(directory)
        return file_of(f"#!{interpreter}\n".encode())(directory)

    return make


def dangling(directory: Path) -> Path:
    file_of(SCRIPT, name="release-42")(directory)
    link = directory / "current"
    link.symlink_to("release-24")
    return link


def mistyped(directory: Path) -> Path:
    (directory / "shell").symlink_to("/bin/sh")
    return file_of(f"#! {directory}/shlel\necho done\n".encode())(directory)


CASES = {
    "no x bit": file_of(SCRIPT, 0o644),
    "CR": file_of(b"#!/bin/sh\r\necho done\r\n"),
    "byte order mark": file_of(b"\xef\xbb\xbf" + SCRIPT),
    "UTF-16": file_of(SCRIPT.decode().encode("utf-16")),
    "UTF-16 without a mark": file_of(SCRIPT.decode().encode("utf-16-le")),
    "blanks first": file_of(b" \t" + SCRIPT),
    "empty lines first": file_of(b"\n\n" + SCRIPT),
    "no #! line": file_of(b"echo done\n"),
    "no #! line, shell": file_of(b"echo done\n", name="job.sh"),
    "no #! line, Python": file_of(b"print('done')\n", name="job.py"),
    "interpreter without x bit": by_interpreter(0o644),
    "mistyped interpreter": mistyped,
    "relative interpreter": file_of(b"#!bin/sh\necho done\n"),
    "dangling link": dangling,
    "without program": file_of(b"#!\necho done\n"),
}


@pytest.mark.parametrize("make", CASES.values(), ids=CASES.keys())
def test_what_was_followed_lets_it_run(make: Callable[[Path], Path], tmp_path: Path) -> None:
    path = make(tmp_path)
    diagnosis = diagnose(failed_exec(path, cwd=tmp_path))
    assert diagnosis.advice is not None, diagnosis
    assert printable(diagnosis.advice) == diagnosis.advice, "pasted from the screen it is another command"
    subprocess.run(["sh", "-c", diagnosis.advice.split("`")[-2]], check=True, cwd=tmp_path)
    run = subprocess.run([path], check=True, capture_output=True, text=True)
    assert run.stdout == "done\n"


def test_what_is_packed_is_unpacked_as_a_program(tmp_path: Path) -> None:
    path = file_of(gzip.compress(SCRIPT), name="a job.gz")(tmp_path)
    diagnosis = diagnose(failed_exec(path))
    assert diagnosis.advice is not None
    subprocess.run(["sh", "-c", diagnosis.advice.split("`")[1]], check=True)
    assert subprocess.run([tmp_path / "a job"], check=True, capture_output=True).stdout == b"done\n"


@pytest.mark.parametrize(
    "name", ["job", "it's a job", "$(touch never)", "`touch never`", "a\nb", "-rf", 'a"b']
)
def test_no_name_of_a_file_runs_as_a_command(name: str, tmp_path: Path) -> None:
    for make in (file_of(SCRIPT, 0o644, name), file_of(b"\r\n" + SCRIPT, 0o755, name)):
        path = make(tmp_path)
        advice = diagnose(failed_exec(path)).advice or ""
        before, _, rest = advice.partition("`")
        command, _, after = rest.rpartition("`")
        subprocess.run(["bash", "-c", command], check=True, cwd=tmp_path)
        assert sorted(os.listdir(tmp_path)) == [name], (before, command, after)
        path.unlink()
