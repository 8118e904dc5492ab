"""Paths that a shell would have expanded, and programs that a script asks env for."""

from __future__ import annotations

import dataclasses
import os
import subprocess
from pathlib import Path

import pytest

from execwhy.bpf.events.record import Diagnosis
from execwhy.tui.why.causes import diagnose
from execwhy.tui.why.lookers.grouping import cause_key
from tests.unit.tui.why.failing import failed_exec


def executable(path: Path, content: str) -> Path:
    path.write_text(content)
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("path", "code", "said"),
    [
        ("~/bin/tool", "not-expanded", "has ~ in it"),
        ("/opt/$VERSION/tool", "not-expanded", "has $VERSION in it"),
        ("/opt/${VERSION}/tool", "not-expanded", "has ${VERSION} in it"),
        ('"/bin/true"', "quotes-in-path", 'quotation mark (")'),
        ("/bin/true --version", "arguments-in-path", '"--version" looks like its arguments'),
        ("/bin/true ", "blank-in-path", "ends in a blank"),
        ("/bin/true\u00a0", "blank-in-path", "ends in a blank"),
        ("/bin/no-such-program --version", "missing-file", "does not exist"),
        ("/opt/cash$/tool", "missing-directory", "does not exist"),
    ],
)
def test_a_path_that_only_a_shell_understands_is_recognized(path: str, code: str, said: str) -> None:
    diagnosis = diagnose(failed_exec(path))
    assert (diagnosis.code, diagnosis.certain) == (code, True)
    assert said in diagnosis.summary


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("/tmp/\x1bP1$r\x1b\\", "$r"),
        ("/tmp/a$HOME", "$HOME"),
        ("/tmp/a${HOME}b", "${HOME}"),
        ("/tmp/$r\x1b[2J", "$r"),
    ],
)
def test_a_dollar_sign_in_the_middle_of_a_name_proves_no_variable(path: str, hint: str) -> None:
    diagnosis = diagnose(failed_exec(path))
    assert diagnosis.code == "missing-file"
    assert diagnosis.advice is None
    assert (
        f"{hint} may be meant as a variable, which only a shell replaces by its value." in diagnosis.evidence
    )
    assert diagnosis.brief == "no such file"


def test_a_variable_in_a_value_is_reported_as_not_expanded() -> None:
    assert diagnose(failed_exec("/opt/prefix=$VERSION/tool")).code == "not-expanded"


def test_a_path_with_arguments_is_shown_with_them() -> None:
    assert diagnose(failed_exec("/bin/ls -l")).brief == "path includes arguments: /bin/ls -l"


def by_env(script: Path, name: str, *words: str) -> Diagnosis:
    """Return the diagnosis if env, run by a script, looks for a program."""
    record = failed_exec(f"/usr/bin/{name}", [name, *words, str(script)])
    return diagnose(dataclasses.replace(record, comm=os.fsdecode(os.fsencode(script.name)[:15])))


def test_the_script_that_asks_env_for_a_missing_program_is_named(tmp_path: Path) -> None:
    script = executable(tmp_path / "a-job-with-a-long-name", "#!/usr/bin/env deploy-all\n")
    executable(tmp_path / "deploy-al", "#!/bin/sh\n")
    record = failed_exec(
        f"{tmp_path}/deploy-all", ["deploy-all", str(script)], {"PATH": str(tmp_path), "LANG": "C"}
    )
    diagnosis = diagnose(dataclasses.replace(record, comm="a-job-with-a-lo"))
    assert (diagnosis.code, diagnosis.certain) == ("missing-program-of-env", False)
    assert f'it seems that env looks for "deploy-all" to run the script "{script}"' in diagnosis.summary
    assert diagnosis.brief == "seems wanted by script a-job-with-a-long-name"
    assert diagnosis.advice == f"Did you mean {tmp_path}/deploy-al?", "nothing proves that the script was run"


def test_words_that_env_splits_come_before_the_script(tmp_path: Path) -> None:
    script = executable(tmp_path / "job", "#!/usr/bin/env -S no-such-program -u -v\n")
    diagnosis = by_env(script, "no-such-program", "-u", "-v")
    assert diagnosis.code == "missing-program-of-env"
    assert '"no-such-program"' in diagnosis.summary


def test_words_that_env_does_not_split_are_named(tmp_path: Path) -> None:
    script = executable(tmp_path / "a job", "#! /usr/bin/env sh -e\necho done\n")
    diagnosis = by_env(script, "sh -e")
    assert (diagnosis.code, diagnosis.certain) == ("blank-in-env-argument", False)
    assert 'one program named "sh -e"' in diagnosis.summary
    assert diagnosis.advice is not None and "`" not in diagnosis.advice
    script.write_text("#!/usr/bin/env -S sh -e\necho done\n")
    assert subprocess.run([script], check=True, capture_output=True, text=True).stdout == "done\n"


def test_a_search_by_another_process_is_not_blamed_on_a_script_in_its_arguments(tmp_path: Path) -> None:
    script = executable(tmp_path / "job", "#!/usr/bin/env no-such-program\n")
    record = failed_exec("/usr/bin/no-such-program", ["no-such-program", str(script)])
    assert diagnose(dataclasses.replace(record, comm="make")).code == "missing-file"


def test_scripts_of_different_names_share_no_diagnosis(tmp_path: Path) -> None:
    keys = set()
    for name in ("first", "second"):
        script = executable(tmp_path / name, "#!/usr/bin/env no-such-program\n")
        record = failed_exec("/usr/bin/no-such-program", ["no-such-program", str(script)])
        record = dataclasses.replace(record, comm=name, timestamp=1)
        assert diagnose(record).brief == f"seems wanted by script {name}"
        keys.add(cause_key(record))
    assert len(keys) == 2, "they share no look"
