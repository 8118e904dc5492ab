"""A quoted word is one word, and that word, in every shell that an operator may paste it into."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from execwhy.tui.model.text.printable import printable
from execwhy.tui.model.text.shell_word import quoted, shell_word

SHELLS = {
    "dash": ["dash"],
    "bash": ["bash"],
    "zsh": ["zsh", "-f"],
    "busybox": ["busybox", "sh"],
    "ksh": ["ksh"],
    "mksh": ["mksh"],
    "fish": ["fish", "--no-config"],
    "tcsh": ["tcsh", "-f"],
}
OF_BYTES = ("bash", "zsh", "busybox", "mksh", "ksh")

HOSTILE = (
    "-u", "$(touch owned)", "`touch owned`", "a'b", "'", "''", "'\\''", "a\nb", "\x1b[201~x", "!!", "!x'y",
    "\\", "\\\\'", "a\\'b", "\\n", "\\x41", "é", "名前", "é'x", "\u202eevil", "\udcff", "=ls", "~root",
    "~", "*", "?", "", " ", "#x", "{a,b}", "\x7f", "a\tb", "--", "x=y", ";id", "&& id", "\u00a0", "%1",
    "%self", "@(x)", "<(id)", "\ud7a3", "${IFS}", "$HOME", '"', "a\"$x", "|", ">x", "^x", "[!a]", "\r",
    "\x81\x82", "𝒳", "e\u0301", "$'x'",
)  # fmt: skip
PIECES = [*"${}`;|&\n'\" \t\\!x(é)~", "IFS"]

any_bytes = st.binary(max_size=24).map(
    lambda data: data.replace(b"\0", b"").decode("utf-8", "surrogateescape")
)
of_pieces = st.lists(st.sampled_from(PIECES), max_size=10).map("".join)
words = st.sampled_from(HOSTILE) | any_bytes | of_pieces | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12
)  # fmt: skip
MARK = b"\1"
"""Stands behind each word in what a shell prints; the words have none."""


def printed(shell: str, wanted: Sequence[str], quote: Callable[[str], str | None]) -> list[bytes]:
    """What a shell makes of words, each of them one argument of printf."""
    lines = [f"printf '%s\\001' {quote(word)}" for word in wanted]
    ran = subprocess.run(
        SHELLS[shell], input=os.fsencode("\n".join(lines) + "\n"), capture_output=True, check=True,
        env={"LC_ALL": "C.UTF-8", "PATH": os.environ["PATH"], "HOME": "/nonexistent"},
    )  # fmt: skip
    assert ran.stderr == b""
    return ran.stdout.split(MARK)[:-1]


def test_every_shell_is_here() -> None:
    """They come with tools/setup dev."""
    assert [shell for shell, command in SHELLS.items() if not shutil.which(command[0])] == []


@pytest.mark.parametrize("shell", SHELLS)
@settings(deadline=None, max_examples=25)
@given(drawn=st.lists(words.filter(lambda word: MARK.decode() not in word), min_size=30, max_size=60))
def test_a_word_that_may_stand_in_a_sentence_is_that_word_to_every_shell(
    shell: str, drawn: list[str]
) -> None:
    wanted = [word for word in drawn if shell_word(word) is not None]
    assert printed(shell, wanted, shell_word) == [os.fsencode(word) for word in wanted]


@pytest.mark.parametrize("shell", OF_BYTES)
@settings(deadline=None, max_examples=25)
@given(drawn=st.lists(words.filter(lambda word: MARK.decode() not in word), min_size=30, max_size=60))
def test_any_bytes_are_a_word_of_a_line_that_is_copied(shell: str, drawn: list[str]) -> None:
    assert printed(shell, drawn, quoted) == [os.fsencode(word) for word in drawn]


@pytest.mark.parametrize("shell", SHELLS)
def test_each_hostile_word_is_that_word_to_every_shell(shell: str) -> None:
    wanted = [word for word in HOSTILE if shell_word(word) is not None]
    assert len(wanted) > 30
    assert printed(shell, wanted, shell_word) == [os.fsencode(word) for word in wanted]


def test_what_is_printable_is_copied_for_dash_and_fish_as_well() -> None:
    wanted = [word for word in HOSTILE if printable(word.replace("\\", "")) == word.replace("\\", "")]
    assert {"\\", "!x'y", "a\\'b"} <= set(wanted)
    for shell in ("dash", "fish"):
        assert printed(shell, wanted, quoted) == [os.fsencode(word) for word in wanted]


@settings(deadline=None)
@given(words)
def test_a_word_in_a_sentence_is_shown_as_it_is_and_does_not_end_its_command(word: str) -> None:
    said = shell_word(word)
    assert said is None or (printable(said) == said and "`" not in said and "!" not in said)


@given(words)
def test_a_word_to_copy_is_printable_whatever_it_holds(word: str) -> None:
    shown = quoted(word).replace("\\", "")
    assert printable(shown) == shown


@pytest.mark.parametrize("word", ["a\nb", "\x1b[2J", "a\\b", "\u202ex", "a`b", "a!b", "\udcff", "\u200b"])
def test_what_is_shown_otherwise_than_it_is_has_no_word_in_a_sentence(word: str) -> None:
    assert shell_word(word) is None


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("/usr/bin/x", "/usr/bin/x"),
        ("a b", "'a b'"),
        ("it's", "'it'\"'\"'s'"),
        ("", "''"),
        ("${IFS}", "'${IFS}'"),
    ],
)
def test_the_words_are_easy_to_read(word: str, said: str) -> None:
    assert shell_word(word) == quoted(word) == said


def test_what_is_typed_at_bash_s_prompt_is_no_reference_to_its_history() -> None:
    """History is expanded before words are: only where a line is read at a prompt."""
    wanted = [word for word in HOSTILE if "!" in word] + ["it's!!", "'!x", "\\!x'", '"!!']
    lines = [f"printf '%s\\n' {quoted(word)}\n" for word in wanted]
    process, terminal = pty.fork()
    if process == 0:
        environment = {"PATH": os.environ["PATH"], "PS1": "", "TERM": "dumb", "HOME": "/nonexistent"}
        os.execvpe("bash", ["bash", "--norc", "--noediting", "-i"], environment)
    os.write(terminal, b"stty -echo; exec 2>/dev/null; echo begin\n")
    os.write(terminal, os.fsencode("".join(lines)) + b"echo end; exit\n")
    shown = b""
    try:
        while select.select([terminal], [], [], 60)[0] and (chunk := os.read(terminal, 4096)):
            shown += chunk
    except OSError:
        pass  # it has ended
    os.close(terminal)
    os.waitpid(process, 0)
    said = os.fsdecode(shown).replace("\r", "").rpartition("begin\n")[2].partition("end\n")[0].splitlines()
    assert [line for line in said if line] == wanted
