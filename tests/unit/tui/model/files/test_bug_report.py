"""A bug report is Markdown in which commands are code and nothing that a process chose is markup."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execwhy.bpf.events.record import Binary, Diagnosis
from execwhy.bpf.events.source import Origin
from execwhy.tui.model.files.bug_report import Names, bug_report
from tests.unit.records import failure

_TOKEN = re.compile(r"\\[!-/:-@[-`{-~]|(?P<ticks>`+)|(?P<markup>[*_\[<#])|.")
"""An escape (CommonMark 2.4), the beginning of a code span (6.1), what may be markup, or a character."""


def markup(line: str) -> list[str]:
    """What Markdown would act on, beside code spans that are closed."""
    found, at = [], 0
    while token := _TOKEN.match(line, at):
        at = token.end()
        if ticks := token["ticks"]:
            if close := re.compile(rf"(?<!`){ticks}(?!`)").search(line, at):
                at = close.end()
            else:
                found.append(ticks)
        elif token["markup"]:
            found.append(token["markup"])
    return found


def report(advice: str, names: Names | None = None, **fields: object) -> str:
    diagnosis = Diagnosis("crlf-interpreter", "So it is.", (advice,), advice, brief="CR")
    record = replace(failure("/opt/x", diagnosis=diagnosis), **fields)  # type: ignore[arg-type]
    return bug_report(record, Origin("web-1", "6.1.0", 0, "fentry"), "1.0", names)


def advised(advice: str) -> str:
    return next(line for line in report(advice).splitlines() if line.startswith("- To do: "))


def test_a_command_in_a_sentence_becomes_code() -> None:
    text = "Remove the CRs: `sed -i '/[[:blank:]]$/b;s/[[:cntrl:]]$//' /opt/a_b*`."
    assert advised(text) == f"- To do: {text}"
    assert f"\n- {text}\n" in report(text), "evidence as well"


@pytest.mark.parametrize(
    ("advice", "text"),
    [
        ("Run `a` `b`.", "Run `a` `b`."),
        ("Run `a``b`.", "Run `a` `b`."),
        ("Name a`b.", r"Name a\`b."),
        ("`a` and ` and *b*", r"`a` and \` and \*b\*"),
        ("``", r"\`\`"),
        ("` `", r"\` \`"),
        ("`a\n\n# b`", r"`a\n\n# b`"),
        ("`<img>` <img>", r"`<img>` \<img\>"),
    ],
)
def test_what_is_not_a_command_stays_text(advice: str, text: str) -> None:
    assert advised(advice) == f"- To do: {text}"


@given(st.text(st.sampled_from("`\\*_[<a \n\x1b#"), max_size=24))
def test_a_sentence_never_becomes_markup(advice: str) -> None:
    line = advised(advice)
    assert line.isprintable()
    assert not markup(line.removeprefix("- To do: "))


def test_users_and_groups_have_their_names() -> None:
    names = Names({0: "root", 33: "www-data"}.get, {0: "root", 5: "a_b"}.get)
    binary = Binary("/opt/x", 0, "8:1", 1, 0, 0o100644, "kernel", 33, 7)
    text = report("Do.", names, uid=33, euid=0, gid=5, binary=binary)
    assert r"- As: uid 33 (www-data), euid 0 (root), gid 5 (a\_b)" in text
    assert ", owned by 33 (www-data):7, inode 1" in text
    assert "- As: uid 33, euid 0, gid 5" in report("Do.", uid=33, euid=0, gid=5)
