"""A command in an advice does what it says, and nobody can turn it against the user who runs it."""

from __future__ import annotations

import bz2
import dataclasses
import gzip
import lzma
import os
import re
import shlex
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from execwhy.bpf.events.record import Diagnosis, ExecFailure
from execwhy.tui.model.text.printable import printable
from execwhy.tui.why.causes import advise, diagnose
from execwhy.tui.why.causes.absent import loaders, suggestions
from tests.settled import SETTLED
from tests.unit.tui.why.failing import failed_exec

SCRIPT = b"#!/bin/sh\necho done\n"
ANOTHER = 12345
"""A user other than root and the one who runs the tests."""


@pytest.fixture(autouse=True)
def root_is_who_runs_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(advise, "ROOT", os.getuid())


def file_of(content: bytes, mode: int = 0o755, name: str = "it's a job") -> Callable[[Path], Path]:
    """Return a function that makes a file whose name needs quoting."""

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
"""Faults that a command by root repairs."""

cases = pytest.mark.parametrize("make", CASES.values(), ids=CASES.keys())


@cases
def test_following_the_advice_makes_the_program_run(make: Callable[[Path], Path], tmp_path: Path) -> None:
    path = make(tmp_path)
    diagnosis = diagnose(failed_exec(path, cwd=tmp_path))
    assert diagnosis.advice is not None, diagnosis
    assert printable(diagnosis.advice) == diagnosis.advice, "pasted from the screen it is another command"
    subprocess.run(["sh", "-c", diagnosis.advice.split("`")[-2]], check=True, cwd=tmp_path)
    run = subprocess.run([path], check=True, capture_output=True, text=True)
    assert run.stdout == "done\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a job.gz", gzip.compress(SCRIPT)),
        ("a job.xz", lzma.compress(SCRIPT)),
        ("a job.bz2", bz2.compress(SCRIPT)),
    ],
    ids=["gzip", "xz", "bzip2"],
)
def test_the_advice_unpacks_a_compressed_program_as_an_executable(
    name: str, content: bytes, tmp_path: Path
) -> None:
    path = file_of(content, name=name)(tmp_path)
    diagnosis = diagnose(failed_exec(path))
    assert diagnosis.advice is not None
    subprocess.run(["sh", "-c", diagnosis.advice.split("`")[1]], check=True)
    assert subprocess.run([tmp_path / "a job"], check=True, capture_output=True).stdout == b"done\n"
    assert path.exists(), "nothing is taken away"


@pytest.mark.parametrize(
    "make",
    [file_of(SCRIPT.decode().encode("utf-16")), file_of(SCRIPT.decode().encode("utf-16-le"))],
    ids=["with a mark", "without one"],
)
def test_advice_that_needs_a_second_file_is_given_in_words(
    make: Callable[[Path], Path], tmp_path: Path
) -> None:
    advice = diagnose(failed_exec(make(tmp_path))).advice
    assert advice is not None and advice.startswith("Save it as UTF-8") and "`" not in advice


def caller_of(record: ExecFailure, **facts: int) -> ExecFailure:
    return dataclasses.replace(record, **facts)  # type: ignore[arg-type]


OTHER_CALLERS: dict[str, dict[str, int]] = {
    "another user": {"uid": ANOTHER, "euid": ANOTHER, "fsuid": ANOTHER, "capabilities": 0},
    "a set-user-ID program": {"uid": ANOTHER},
    "root for a moment": {"fsuid": ANOTHER},
}


@cases
@pytest.mark.parametrize("facts", OTHER_CALLERS.values(), ids=OTHER_CALLERS.keys())
def test_no_command_is_advised_to_another_caller(
    make: Callable[[Path], Path], facts: dict[str, int], tmp_path: Path
) -> None:
    diagnosis = diagnose(caller_of(failed_exec(make(tmp_path), cwd=tmp_path), **facts))
    assert "`" not in (diagnosis.advice or ""), diagnosis
    if str(tmp_path) in (diagnosis.advice or ""):
        assert re.match("Did you mean|If .+ is meant", diagnosis.advice or "")


@cases
@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o775, 0o707])
def test_no_command_is_advised_for_a_place_where_others_may_write(
    make: Callable[[Path], Path], mode: int, tmp_path: Path
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    path = make(place)
    place.chmod(mode)
    advice = diagnose(failed_exec(path, cwd=place)).advice
    assert "`" not in (advice or ""), advice
    assert str(place) not in (advice or ""), "others may have put there what is named"


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o757])
def test_no_command_is_advised_for_a_file_that_others_may_write(mode: int, tmp_path: Path) -> None:
    advice = diagnose(failed_exec(file_of(b"#!/bin/sh\r\n", mode)(tmp_path))).advice
    assert advice == "Give it Unix line endings, as dos2unix does."


def test_a_directory_on_the_path_that_others_may_write_counts_unless_sticky(tmp_path: Path) -> None:
    (tmp_path / "open/own").mkdir(parents=True)
    record = failed_exec(file_of(b"#!/bin/sh\r\n")(tmp_path / "open/own"))
    for mode, named in ((0o777, False), (0o1777, True), (0o755, True)):
        (tmp_path / "open").chmod(mode)
        assert ("`" in (diagnose(record).advice or "")) is named, oct(mode)


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize("what", ["file", "directory", "link"])
def test_no_command_is_advised_for_a_file_of_another_user(what: str, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    if what == "link":
        path = dangling(tmp_path / "own")
        os.chown(path, ANOTHER, ANOTHER, follow_symlinks=False)
    else:
        path = file_of(b"#!/bin/sh\r\n")(tmp_path / "own")
        os.chown(path if what == "file" else path.parent, ANOTHER, ANOTHER)
    assert "`" not in (diagnose(failed_exec(path)).advice or "")


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
def test_a_near_name_planted_by_another_user_is_not_mentioned(tmp_path: Path) -> None:
    near = file_of(SCRIPT, name="deploy-all")(tmp_path)
    assert diagnose(failed_exec(tmp_path / "deploy-al")).advice == f"Did you mean {near}?"
    os.chown(near, ANOTHER, ANOTHER)
    assert diagnose(failed_exec(tmp_path / "deploy-al")).advice is None


def test_each_try_of_a_search_suggests_the_same_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directories = [tmp_path / name for name in ("one", "two", "three")]
    monkeypatch.setattr(suggestions, "SYSTEM_DIRECTORIES", set(map(str, directories)))
    for directory in directories:
        directory.mkdir()
        if directory.name != "one":
            file_of(SCRIPT, name="deploy-all")(directory)
    path = {"PATH": ":".join(map(str, directories))}
    for directory in directories:
        record = failed_exec(directory / "deploy-al", ["deploy-al", "-x"], path)
        assert diagnose(record).advice == f"Did you mean {tmp_path}/two/deploy-all?"
    by_path = failed_exec(directories[2] / "deploy-al", [f"{directories[2]}/deploy-al"], path)
    assert diagnose(by_path).advice == f"Did you mean {tmp_path}/three/deploy-all?"


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
def test_a_program_in_the_path_of_an_attacker_is_not_named_to_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suggestions, "SYSTEM_DIRECTORIES", {f"{tmp_path}/theirs"})
    (tmp_path / "theirs").mkdir()
    file_of(SCRIPT, name="deploy-all")(tmp_path / "theirs")
    os.chown(tmp_path / "theirs", ANOTHER, ANOTHER)
    record = failed_exec("/usr/bin/deploy-all", environment={"PATH": f"/usr/bin:{tmp_path}/theirs"})
    assert diagnose(record).advice is None


def test_a_program_in_path_under_control_of_others_is_in_no_shebang_advice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suggestions, "SYSTEM_DIRECTORIES", {f"{tmp_path}/theirs"})
    (tmp_path / "theirs").mkdir()
    file_of(SCRIPT, name="our-python")(tmp_path / "theirs")
    path = file_of(b"#!/opt/none/our-python\n")(tmp_path)
    record = failed_exec(path, environment={"PATH": f"{tmp_path}/theirs"})
    assert f"`sed -i '1s|/opt/none/our-python|{tmp_path}/theirs/our-python|'" in (
        diagnose(record).advice or ""
    )
    (tmp_path / "theirs").chmod(0o777)
    assert diagnose(record).advice is None


def test_no_command_is_advised_for_another_mount_namespace_or_root(tmp_path: Path) -> None:
    record = failed_exec(file_of(b"#!/bin/sh\r\n")(tmp_path))
    assert "`" in (diagnose(record).advice or "")
    assert "`" not in (diagnose(dataclasses.replace(record, mount_ns=None)).advice or "")
    inner = dataclasses.replace(record, root=str(tmp_path), path="/it's a job", binary=None)
    diagnosis = diagnose(inner)
    assert diagnosis.code == "crlf-interpreter"
    assert "`" not in (diagnosis.advice or "")


@pytest.mark.parametrize("kind", ["comm and arguments", "two words"])
def test_no_process_gets_a_script_edited_by_taking_its_name(kind: str, tmp_path: Path) -> None:
    line = {"two words": "#!/usr/bin/env python3 -u\n"}
    script = file_of(line.get(kind, "#!/usr/bin/env python3\n").encode(), name="roots-script")(tmp_path)
    name = {"two words": "python3 -u"}.get(kind, "python3")
    (tmp_path / "p").mkdir()
    file_of(SCRIPT, name="pythom3")(tmp_path / "p")
    record = failed_exec(tmp_path / "p" / name, ["env", str(script)], {"PATH": f"{tmp_path}/p"})
    diagnosis = diagnose(dataclasses.replace(record, comm="roots-script"))
    said = " ".join([diagnosis.summary, *diagnosis.evidence])
    assert str(script) in said and "seems" in said
    assert diagnosis.advice is None or "`" not in diagnosis.advice
    assert "roots-script" not in (diagnosis.advice or "")
    assert not diagnosis.certain


def test_a_script_that_may_have_passed_env_a_name_with_cr_is_in_no_command(tmp_path: Path) -> None:
    script = file_of(b"#!/usr/bin/env python3\r\n", name="job")(tmp_path)
    record = dataclasses.replace(failed_exec("/usr/bin/python3\r", ["x", str(script)]), comm="job")
    diagnosis = diagnose(record)
    assert (diagnosis.code, diagnosis.certain) == ("name-ends-in-cr", False)
    assert diagnosis.advice == "Give it Unix line endings, as dos2unix does."


def in_doubt(advice: str | None, certain: bool = False) -> str | None:
    return advise.in_doubt(Diagnosis("code", "Summary.", (), advice, certain, "brief")).advice


def test_no_command_is_advised_in_doubt() -> None:
    words = "Pass them in parts. Or through a file."
    assert in_doubt(words) == words
    assert in_doubt(None) is None
    assert in_doubt("Run `chmod +x /a`.") is None
    assert in_doubt("Run `chmod +x /a`.", certain=True) == "Run `chmod +x /a`."
    assert in_doubt("Use another. Run `a '/b. C. D'`, or `b. E`! Go on.") == "Use another. Go on."
    assert in_doubt("First. An open `mark. And what follows it.") == "First."


@given(st.lists(st.text("aA .?!;", max_size=12) | st.text("xX .?!'\n", max_size=12).map("`{}`".format)))
def test_advice_in_doubt_has_no_remains_of_a_command(parts: list[str]) -> None:
    left = in_doubt("".join(parts)) or ""
    assert not set(left) & set("xX'`\n")


def test_installing_a_shell_is_advised_only_for_a_certain_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loaders, "_family", lambda scene: "debian")
    monkeypatch.setattr(loaders, "_PACKAGES", frozenset({"no-such-shell"}))
    script = file_of(b"#!/usr/bin/no-such-shell\n", name="job")(tmp_path)
    time.sleep(SETTLED)
    record = failed_exec(script)
    assert diagnose(record).advice == "Install it: `apt install no-such-shell`."
    script.chmod(0o711)
    assert diagnose(record).advice is None


@pytest.mark.parametrize("path", ["${IFS}rm${IFS}-rf${IFS}/home", "~/$(id)", "$HOME/x", "~", "${A}`id`"])
def test_a_path_that_was_not_expanded_is_in_no_command(path: str) -> None:
    diagnosis = diagnose(failed_exec(path))
    assert diagnosis.code == "not-expanded"
    assert diagnosis.advice is not None and path not in diagnosis.advice and "`" not in diagnosis.advice


@pytest.mark.parametrize("name", ["job", "it's a job", "$(touch never)", "-rf", 'a"b', "${IFS}", "名前"])
def test_no_file_name_runs_as_a_command(name: str, tmp_path: Path) -> None:
    for make in (file_of(SCRIPT, 0o644, name), file_of(b"\r\n" + SCRIPT, 0o755, name)):
        path = make(tmp_path)
        (command,) = commands(diagnose(failed_exec(path)).advice)
        subprocess.run(["bash", "-c", command], check=True, cwd=tmp_path)
        assert sorted(os.listdir(tmp_path)) == [name]
        path.unlink()


@pytest.mark.parametrize("name", ["`touch never`", "a\nb", "a\\b", "a!b", "\x1b[2J", "\u202ex", "a\udcff"])
def test_no_command_is_advised_that_cannot_be_pasted_as_shown(name: str, tmp_path: Path) -> None:
    for make in (file_of(SCRIPT, 0o644, name), file_of(b"\r\n" + SCRIPT, 0o755, name)):
        path = make(tmp_path)
        advice = diagnose(failed_exec(path)).advice
        assert advice is not None and "`" not in advice and name not in advice
        path.unlink()


def commands(advice: str | None) -> list[str]:
    parts = (advice or "").split("`")
    assert len(parts) % 2 == 1, advice
    return parts[1::2]


PIECES = [*"${};|&\n'\" \t\\!`xy~-#=*", "IFS", "$(id)", "rm -rf ~", "é", "\u202e", "\udcff", "python3", "job"]
names = (
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=6)
    .map("".join)
    .filter(lambda name: name not in (".", "..", "#") and len(os.fsencode(name)) < 200)
)

PATHLESS = [
    *(
        "chmod +x @",
        "sed -i /[[:blank:]]$/b;s/[[:cntrl:]]$// @",
        "sed -i 1s/^[^#]*// @",
        "sed -i /./,$!d @",
        "ln -sfn @ @",
    ),
    *("sed -i 1s/^[[:blank:]]*// @", "sed -i 1s|.*|#!/bin/sh| @", "sh @", "gunzip -k @", "file @", "unzip @"),
    "sed -i 1i #!/bin/sh @",
]
"""The commands with each path replaced by one sign."""

_RENAMED = re.compile(r"sed -i 1s\|[\w/.+-]+\|/[\w/.+-]+\| @", re.ASCII)


def make_hostile(directory: Path, kind: str, name: str, other: str) -> tuple[Path, list[str]]:
    """Make a file that fails to execute, with names chosen by an attacker; return it and its arguments."""
    path, near = directory / name, directory / f"{name}z"
    content = {
        "no x bit": SCRIPT, "CR": b"#!/bin/sh\r\n", "blanks": b"\n" + SCRIPT, "text": b"echo\n",
        "data": b"\0\1\2", "mark": b"\xef\xbb\xbf" + SCRIPT, "none": b"#!\n", "packed": gzip.compress(b""),
        "zip": b"PK\3\4",
        "interpreter": b"#!" + os.fsencode(directory / other) + b"\n",
    }.get(kind)  # fmt: skip
    if content is not None:
        path.write_bytes(content)
        path.chmod(0o644 if kind == "no x bit" else 0o755)
    elif kind == "dangling":
        file_of(SCRIPT, name=near.name)(directory)
        path.symlink_to(os.fspath(path) + "zz")
    elif kind == "env":
        script = file_of(b"#!/usr/bin/env " + os.fsencode(name) + b"\n", name=f"{other}.script")(directory)
        file_of(SCRIPT, name=near.name)(directory)
        return path, [name, os.fspath(script)]
    else:
        file_of(SCRIPT, name=near.name)(directory)
    return path, [name, other]


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(
        ["no x bit", "CR", "blanks", "text", "data", "mark", "none", "packed", "zip", "interpreter",
         "dangling", "env", "missing"]
    ),
    name=names,
    other=names,
    relative=st.booleans(),
)  # fmt: skip
def test_text_chosen_by_a_process_is_always_whole_words_of_a_command(
    kind: str, name: str, other: str, relative: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("hostile")
    path, arguments = make_hostile(directory, kind, name, other)
    record = failed_exec(
        name if relative else path, arguments, {"PATH": f"{directory}:/usr/bin"}, cwd=directory, settled=0
    )
    named: dict[str, Any] = {"comm": f"{other}.script"[:15]} if kind == "env" else {}
    advice = diagnose(dataclasses.replace(record, **named)).advice
    for command in commands(advice):
        assert printable(command) == command
        subprocess.run(["sh", "-n", "-c", command], check=True)
        words = shlex.split(command)
        left = " ".join("@" if word.startswith("/") and os.path.lexists(word) else word for word in words)
        assert left in PATHLESS or _RENAMED.fullmatch(left), command
        assert kind != "env"
