"""A copied command line runs what failed, and nothing else, whatever processes have put into it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from execwhy.bpf.events.record import Attempt, Binary, ExecFailure, Search, Truncated
from execwhy.tui.model.files.shell_command import shell_command
from execwhy.tui.model.text.printable import printable
from execwhy.tui.model.text.secrets import masked
from tests.unit.records import failure

SHELLS = [shell for shell in ("bash", "zsh", "ksh") if shutil.which(shell)]
HOSTILE = (
    "-u", "--split-string=rm", "$(touch owned)", "`touch owned`", "a'b", "'", "a\nb", "\x1b[201~x", "!!",
    "!x'y", "a!b\n", "\\", "é", "名前", "é'x", "\u202eevil", "\udcff", "=ls", "~root", "*", "", " ", "#x",
    "{a,b}", "\x7f", "a\tb", "-", "--", "x=y", ";id", "&& id", "a\\'b", "\u00a0", "%1", "@(x)", "\ud7a3",
)  # fmt: skip
words = st.sampled_from(HOSTILE) | st.binary(max_size=12).map(
    lambda data: data.replace(b"\0", b"").decode("utf-8", "surrogateescape")
)


def record(**facts: Any) -> ExecFailure:
    plain = failure(path="/bin/x", arguments=("/bin/x",), environment=("A=1",))
    return replace(plain, **{"cwd": None, "uid": 0, "euid": 0, **facts})


def command(**facts: Any) -> str:
    made = shell_command(record(**facts))
    assert made is not None
    return made


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A program that prints what it was executed with."""
    path = tmp_path_factory.mktemp("bin") / "echo-it"
    path.write_text(
        f"#!{sys.executable} -IS\nimport json, os, sys\n"
        "raw = open('/proc/self/cmdline', 'rb').read().split(b'\\0')[:-1]\n"
        "environment = open('/proc/self/environ', 'rb').read().split(b'\\0')[:-1]\n"
        "received = [[word.hex() for word in words] for words in (raw[3:], environment)]\n"
        "print(json.dumps([*received, os.getcwd()]))\n"
    )
    path.chmod(0o755)
    return str(path)


def run(shell: str, line: str, cwd: str) -> tuple[list[bytes], list[bytes], str]:
    assert "\n" not in line and printable(line.replace("\\", "")) == line.replace("\\", "")
    ran = subprocess.run(
        [shell, "-c", line],
        capture_output=True,
        check=True,
        cwd=cwd,
        env={"LANG": "C.UTF-8", "PATH": "/usr/bin:/bin"},
    )
    arguments, environment, directory = json.loads(ran.stdout)
    return list(map(bytes.fromhex, arguments)), list(map(bytes.fromhex, environment)), directory


@pytest.mark.parametrize("shell", SHELLS)
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
    max_examples=60,
    derandomize=True,
)
@given(
    arguments=st.lists(words, max_size=4).map(tuple),
    environment=st.dictionaries(words.filter(lambda name: name != "" and "=" not in name), words, max_size=4),
)
def test_arguments_and_environment_arrive_as_they_were(
    shell: str, echo: str, tmp_path: Path, arguments: tuple[str, ...], environment: dict[str, str]
) -> None:
    variables = tuple(f"{name}={value}" for name, value in environment.items())
    line = command(path=echo, arguments=(echo, *arguments), environment=variables)
    argv, envp, _ = run(shell, line, str(tmp_path))
    assert argv == [os.fsencode(argument) for argument in arguments]
    assert sorted(envp) == sorted(os.fsencode(variable) for variable in variables)
    assert list(tmp_path.iterdir()) == [], "a word was run as a command"


@pytest.mark.parametrize("name", ["-u", "--unset", "-", "a=b", "$(touch owned)", "-S id", "名前", "x'y"])
def test_a_program_of_any_name_is_run_as_a_program(name: str, echo: str, tmp_path: Path) -> None:
    shutil.copy(echo, tmp_path / name)
    line = command(path=name, arguments=(name, "one"), cwd=str(tmp_path))
    argv, _, directory = run("bash", line, "/")
    assert argv == [b"one"]
    assert directory == str(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


def test_pasting_it_runs_nothing_before_enter() -> None:
    assert "\n" not in command(arguments=("/bin/x", "a\nid\n"))


def test_ordinary_words_are_not_quoted() -> None:
    assert command(arguments=("/bin/x", "--port", "8080")) == "(env -i -- A=1 /bin/x --port 8080)"


def test_the_directory_is_that_of_the_caller() -> None:
    assert command(cwd="/opt/a b") == "(cd -- '/opt/a b' && env -i -- A=1 /bin/x)"


def test_a_path_without_a_slash_is_not_searched_for() -> None:
    assert command(path="run", arguments=("run",)).endswith(" ./run)")


def test_a_search_is_tried_as_a_search() -> None:
    search = Search(1, "helm", 2, "not-found", attempts=(Attempt("/a/helm", -2), Attempt("/b/helm", -2)))
    line = command(path="/b/helm", arguments=("helm", "up"), environment=("PATH=/a:/b",), search=search)
    assert line.endswith("env -i -- PATH=/a:/b helm up)")


def test_another_argument_zero_is_noted_and_harmless() -> None:
    assert command(arguments=("$(id)", "x")) == "(: 'argument 0 was $(id)'; env -i -- A=1 /bin/x x)"


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"uid": 33, "euid": 0}, "it failed for uid 33, euid 0, gid 0"),
        ({"container_id": "4f9c2a1be07d" + "0" * 52}, "in container 4f9c2a1be07d"),
        ({"root": "/srv/jail"}, "in the root directory /srv/jail"),
        ({"arguments": ("/bin/x", None)}, "some arguments are missing"),
        ({"truncated": Truncated(environment=True)}, "some variables are missing"),
        ({"environment": ("A=1", "no-sign")}, "variables that env cannot set are left out"),
        ({"arguments": ()}, "without any argument, not even the zeroth"),
        ({"arguments": (), "arguments_source": "unreadable"}, "its arguments could not be read"),
    ],
)
def test_what_a_command_line_cannot_reproduce_is_noted(facts: dict[str, Any], said: str) -> None:
    assert f"{said}'; " in command(**facts)


def test_masked_secrets_are_noted() -> None:
    line = shell_command(masked(record(environment=("DB_PASSWORD=hunter2",))))
    assert line is not None and "secrets are masked" in line and "hunter2" not in line


def test_the_file_of_a_descriptor_is_named_if_it_is_known() -> None:
    file = Binary("/opt/x", 0, "0:0", 1, 0, 0o100755, "kernel")
    assert command(path="", dirfd=5, binary=file, arguments=("x",)).endswith("/opt/x)")
    assert shell_command(record(path="", dirfd=5)) is None
    assert shell_command(record(path=None)) is None
