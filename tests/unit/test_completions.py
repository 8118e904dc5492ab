"""The shells complete the options, values and fields of the program."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from execwhy.tui.cli.options import THEME_NAMES, parser
from execwhy.tui.model.query.fields import FIELDS

ROOT: Final = Path(__file__).parents[2]
COMPLETIONS: Final = ROOT / "completions"


def options() -> set[str]:
    """Return every name of every option."""
    return {name for action in parser()._actions for name in action.option_strings}


def by_bash(*words: str) -> set[str]:
    """Return what bash offers for the last word: its own function, called as bash calls it."""
    script = """
        source "$1"; shift
        COMP_WORDS=(execwhy "$@") COMP_CWORD=$#
        compopt() { :; } # it works only while bash completes at a prompt
        _execwhy execwhy "${@: -1}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    command = ["bash", "--norc", "-c", script, "bash", str(COMPLETIONS / "execwhy"), *words]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\n")) - {""}


def test_the_completions_are_generated_from_the_options() -> None:
    code = (
        "import completions as c, json; print(json.dumps({name: made() for name, made in c.FILES.items()}))"
    )
    command = [sys.executable, "-c", code]
    made = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT / "tools").stdout
    for name, text in json.loads(made).items():
        assert (COMPLETIONS / name).read_text(encoding="utf-8") == text, "run `make completions`"


def test_bash_offers_every_option() -> None:
    assert by_bash("-") == options()
    assert by_bash("--no-m") == {"--no-mouse"}


def test_bash_offers_the_values_of_an_option_after_an_equals_sign_too() -> None:
    assert by_bash("--theme", "") == set(THEME_NAMES)
    assert by_bash("--theme", "=", "mo") == {"mono"}
    assert "tracepoint" in by_bash("--plan", "=")
    assert "root" in by_bash("--uid", "roo")


def test_bash_offers_filter_fields_wherever_one_can_occur() -> None:
    assert by_bash("--filter", "") == set(FIELDS)
    assert by_bash("--filter", "errno=ENOENT (!binary.inode_n") == {
        f"errno=ENOENT (!binary.inode_number{operator}" for operator in ("=", "!=", ":", "~")
    }


def test_bash_offers_files_for_every_value_of_open(tmp_path: Path) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).touch()
    assert by_bash("--open", str(tmp_path / "a.jsonl"), str(tmp_path / "b")) == {str(tmp_path / "b.jsonl")}
    assert by_bash("--open", str(tmp_path / "a.jsonl"), "--the") == {"--theme"}


def at_a_prompt(line: str) -> str:
    """Return what the line becomes in an interactive bash with tabs typed."""
    process, terminal = pty.fork()
    if process == 0:
        os.execvpe("bash", ["bash", "--norc", "-i"], os.environ | {"PS1": "ready>", "TERM": "dumb"})
    shown = b""

    def wait_for(text: bytes) -> None:
        nonlocal shown
        while text not in shown:
            assert select.select([terminal], [], [], 60)[0], shown
            shown += os.read(terminal, 4096)

    try:
        wait_for(b"ready>")
        os.write(
            terminal, f"source {COMPLETIONS}/execwhy; bind 'set bell-style none'; PS1=loaded'>'\n".encode()
        )
        wait_for(b"loaded>")
        shown = b""
        # The line is printed instead of run, by the text before it.
        os.write(terminal, line.encode() + b"\x01printf '<%s>\\n' \n")
        wait_for(b"\nloaded>")
    finally:
        os.close(terminal)
        os.waitpid(process, 0)
    return " ".join(re.findall(r"^<(.*)>\r$", shown.decode(), re.MULTILINE))


def test_bash_completes_at_a_prompt_and_within_quotes() -> None:
    assert at_a_prompt("execwhy --keep-p\t--theme=li\t") == "execwhy --keep-privileges --theme=light"
    typed = "execwhy --filter 'uid=0 binary.inode_n\t>0'"
    assert at_a_prompt(typed) == "execwhy --filter uid=0 binary.inode_number>0"


@pytest.mark.parametrize(
    ("shell", "name"), [("bash", "execwhy"), ("zsh", "_execwhy"), ("fish", "execwhy.fish")]
)
def test_each_shell_can_read_its_file(shell: str, name: str) -> None:
    subprocess.run([shell, "-n", str(COMPLETIONS / name)], check=True)


def test_fish_offers_options_values_and_fields() -> None:
    def offered(line: str) -> set[str]:
        script = f"source {COMPLETIONS}/execwhy.fish; complete -C '{line}'"
        out = subprocess.run(["fish", "-N", "-c", script], capture_output=True, text=True, check=True).stdout
        return {entry.split("\t")[0] for entry in out.splitlines()}

    assert options() - {"-h"} <= offered("execwhy --")
    assert offered("execwhy --theme m") == {"mono"}
    assert "uid=0 comm" in offered('execwhy --filter "uid=0 com')
