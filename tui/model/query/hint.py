"""Hints for a valid filter that selects nothing: what was probably meant."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from execwhy.bpf.events.fields import Secret
from execwhy.tui.model.history.columns import NUMBERS
from execwhy.tui.model.history.store import History
from execwhy.tui.model.query import Query
from execwhy.tui.model.query.fields import FIELDS, Field, Kind, nearest
from execwhy.tui.model.query.terms import InRanges, Term
from execwhy.tui.model.query.text import TextTest
from execwhy.tui.model.query.values import ERRORS, ValueProblem, number
from execwhy.tui.model.text.secrets import mask_text

_MOST_VALUES: Final = 500
"""Distinct values to compare with the requested one: some milliseconds of work."""

_LONGEST: Final = 200
"""Characters of a value to compare: the time grows with their square."""

_NAMED: Final = 3
"""Values to name if none is similar."""

_MAY_BE_SECRET: Final = frozenset(
    field.name for field in FIELDS.values() if field.secret is Secret.BY_CONTEXT
)
"""Fields whose values are never named: one may be a secret by the argument before it, or quote one."""

_VALUE: Final = re.compile(r"[^\s:=!~<>]+$")
"""The value of a condition, after its operator."""

_NEVER_NEGATIVE: Final = frozenset(
    {"uid", "user", "euid", "gid", "egid", "fsuid", "fsgid", "groups", "pid", "tid", "ppid"}
)


@lru_cache(maxsize=1)
def hint(query: Query, history: History, blocks: int) -> str:
    """Return one sentence about a filter that selects nothing; "" for none. It may quote hostile text.

    Args:
        query: The filter.
        history: The events that it selects from.
        blocks: The number of blocks in the history; the cached answer is valid only for this number.
    """
    alone = Counter(term.start for term in query.terms)
    for term in query.terms:
        written = query.text[term.start : term.end]
        said = _of_word(written) if alone[term.start] > 1 else _of_condition(term, written, history)
        if said:
            return said
    return ""


def _of_word(word: str) -> str:
    name = word.upper()
    meant = name if name in ERRORS else nearest(name, ERRORS) if name.startswith("E") else None
    if meant and word != meant:
        return f"{word} is not the name of an error: did you mean {meant}?"
    if _is_user(word):
        return f"{word} is a user: did you mean user:{word}?"
    return f"{word} is a field: did you mean {word}:…?" if word in FIELDS else ""


def _is_user(word: str) -> bool:
    try:
        number(word, Kind.USER)
    except ValueProblem:
        return False
    return not word.isdigit()


def _of_condition(term: Term, written: str, history: History) -> str:
    field = term.field
    if term.negate:
        return ""
    if field.kind is Kind.AGE and (amount := re.search(r"\d+$", written)):
        return f"{written} is in seconds: write {amount[0]}m for minutes, {amount[0]}h for hours."
    if isinstance(term.test, InRanges) and not term.test.bounds:
        return _of_name(field.kind, written)
    if field.name in _NEVER_NEGATIVE and isinstance(term.test, InRanges):
        if all(high is not None and high < 0 for _, high in term.test.bounds):
            return f"{field.name} is never negative; where it is unknown, {field.name}=null selects it."
        return ""
    if field.name == "path" and isinstance(term.test, TextTest):
        files = _values(FIELDS["binary.path"], history)
        if any(map(term.test.holds, files)):
            return f"Files there were called by other paths: binary.{written} looks at the file itself."
    if isinstance(term.test, TextTest) and term.test.inside:
        return _of_values(field, term.test.inside, history, is_part=True)
    return _of_values(field, term.exact[0], history) if len(term.exact) == 1 else ""


def _of_name(kind: Kind, written: str) -> str:
    """Return why no error, or no user, has a name like this."""
    part = _VALUE.search(written)
    try:
        number("" if part is None else part[0], kind)
    except ValueProblem as problem:
        return f"{written} selects nothing; expected {problem}{'' if str(problem)[-1] == '?' else '.'}"
    return ""


def _of_values(field: Field, asked: str, history: History, *, is_part: bool = False) -> str:
    """Return which values there are instead of one that no event has; for a substring, only similar ones."""
    if field.name == "why":
        field = FIELDS["diagnosis.code"]
    there = Counter(_values(field, history))
    if asked in there or not there:
        return ""
    name = "cause" if field.name == "diagnosis.code" else field.name
    near = difflib.get_close_matches(asked, there, n=1, cutoff=0.6)
    if near:
        return f"No {name} here is {asked}: did you mean {near[0]}?"
    if is_part:
        return ""
    named = ", ".join(value for value, _ in there.most_common(_NAMED))
    return f"No {name} here is {asked}; there is {named}{' and more' if len(there) > _NAMED else ''}."


def _values(field: Field, history: History) -> Iterator[str]:
    """Yield the distinct values of each block, the newest first."""
    if field.column in NUMBERS or field.name in _MAY_BE_SECRET:
        return
    left = _MOST_VALUES
    for block in reversed(history.blocks):
        for entry in block.columns[field.column].entries:
            picked = field.pick(entry.value)
            for value in picked if isinstance(picked, tuple) else (picked,):
                if isinstance(value, str) and len(value) <= _LONGEST and mask_text(value) == value:
                    yield value
            left -= 1
            if not left:
                return
