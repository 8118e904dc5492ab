"""Conditions: what a field, an operator and values select."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from execwhy.tui.model.query import text as query_text
from execwhy.tui.model.query.codes import FIELDS_OF_CODES, slip
from execwhy.tui.model.query.fields import FIELDS, TEXT_KINDS, Field, Kind, nearest
from execwhy.tui.model.query.lexer import QueryError, Token
from execwhy.tui.model.query.terms import InRanges, IsNull, Node, Or, Term
from execwhy.tui.model.query.text import PatternProblem, TextTest
from execwhy.tui.model.query.values import ERRORS, Bound, ValueProblem, bound, error_numbers, number, uids
from execwhy.tui.model.text.printable import original

_COMPARISONS: Final = frozenset({"<", "<=", ">", ">="})
_NAMED: Final = frozenset({Kind.ERROR, Kind.USER})
"""Numbers with names: a pattern is compared with the names."""


def field_of(name: Token) -> Field:
    """Return the field with this name.

    Raises:
        QueryError: There is none.
    """
    field = FIELDS.get(name.text.lower())
    if field is None:
        meant = nearest(name.text.lower(), FIELDS)
        hint = f"did you mean {meant}?" if meant else "put it in quotes to search for it as text"
        raise QueryError(f"no field has the name {name.text}: {hint}", name.start, name.end)
    return field


def condition(field: Field, operator: Token, values: Sequence[Token], start: int, end: int) -> Term:
    """Return the condition that an operator and values make of a field.

    Args:
        field: The field.
        operator: The operator.
        values: The values, of which one must match.
        start: Where in the filter the condition begins.
        end: Where it ends.

    Raises:
        QueryError: The field does not take this operator or such a value.
    """
    negate = operator.text[0] == "!"
    plain = {"=": "==", "!=": "==", "!:": ":", "!~": "~"}.get(operator.text, operator.text)
    if plain == "==" and len(values) == 1 and values[0].is_word("null"):
        return Term(field, IsNull(), negate, start, end)
    if field.kind in TEXT_KINDS:
        if plain in _COMPARISONS:
            raise QueryError(
                f"{field.name} is {field.kind.value}: expected = == != : !: ~ or !~",
                operator.start,
                operator.end,
            )
        tests = [_text_test(field, plain, value) for value in values]
        if field.name in FIELDS_OF_CODES and plain != "~":
            _refuse_slips(values, tests)
        exact, prefixes = _exact(plain, values)
        return Term(field, query_text.any_of(tests), negate, start, end, exact, prefixes)
    bounds = tuple(found for value in values for found in _bounds(field, plain, operator, value))
    return Term(field, InRanges(bounds), negate, start, end)


def _refuse_slips(values: Sequence[Token], tests: Sequence[TextTest]) -> None:
    for value, test in zip(values, tests, strict=True):
        expected = None if value.quoted else slip(value.text, test.holds)
        if expected is not None:
            raise QueryError(f"expected {expected}", value.start, value.end)


def _text_test(field: Field, plain: str, value: Token) -> TextTest:
    try:
        if plain == "~":
            return query_text.regex(value.text)
        if plain == "==":
            return query_text.any_of([query_text.equal(text) for text in _meant(value)])
        if not value.quoted and query_text.is_glob(value.text):
            is_path = field.kind is Kind.PATH
            return query_text.any_of([query_text.glob(text, path=is_path) for text in _meant(value)])
        return query_text.any_of([query_text.substring(text) for text in _meant(value)])
    except PatternProblem as problem:
        raise QueryError(str(problem), value.start, value.end) from None


def _exact(plain: str, values: Sequence[Token]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the exact texts and the prefixes that a condition requires, if it requires nothing else."""
    if plain == "==":
        return tuple(text for value in values for text in _meant(value)), ()
    beginnings = tuple(text.removesuffix("**") for text in _meant(values[0]))
    is_prefix = plain == ":" and not values[0].quoted and beginnings[0] != values[0].text
    is_plain = all(beginning and not query_text.is_glob(beginning) for beginning in beginnings)
    return ((), beginnings) if is_prefix and is_plain else ((), ())


def _meant(value: Token) -> tuple[str, ...]:
    """Return the texts that a value stands for: as it is, and what the screen shows in this way.

    In quotes the escapes have been read already.
    """
    shown = value.text if value.quoted else original(value.text)
    return (value.text,) if shown == value.text else (value.text, shown)


def _bounds(field: Field, plain: str, operator: Token, value: Token) -> list[Bound]:
    """Return the ranges of numbers that an operator and a value select."""
    try:
        if plain in _COMPARISONS:
            limit = number(value.text, field.kind)
            return [{
                "<": (None, limit - 1), "<=": (None, limit), ">": (limit + 1, None), ">=": (limit, None),
            }[plain]]  # fmt: skip
        if plain == "==":
            return [bound(value.text, field.kind)]
        if field.kind in _NAMED:
            return _named_bounds(field, plain, value)
        if plain == ":":
            return [bound(value.text, field.kind)]
    except ValueProblem as problem:
        raise QueryError(f"expected {problem}", value.start, value.end) from None
    raise QueryError(
        f"{field.name} is {field.kind.value}: expected = == != < <= > >= : or !:",
        operator.start,
        operator.end,
    )


def _named_bounds(field: Field, plain: str, value: Token) -> list[Bound]:
    """Return numbers by a part of their names or by a pattern; a number stands for itself."""
    if plain == ":" and not value.quoted and not query_text.is_glob(value.text):
        try:
            return [bound(value.text, field.kind)]
        except ValueProblem:
            pass
    holds = _text_test(field, plain, value).check
    numbers = error_numbers(holds) if field.kind is Kind.ERROR else uids(holds)
    return [(found, found) for found in numbers]


def bare_word(word: Token) -> Node:
    """Return the condition for a bare word: in the path, comm or an argument, or the errno of that name."""
    colon = Token(":", word.start, word.start)
    parts = [
        condition(FIELDS[name], colon, (word,), word.start, word.end) for name in ("path", "comm", "arg")
    ]
    if word.text in ERRORS and not word.quoted:
        parts.append(
            condition(FIELDS["error"], Token("==", word.start, word.start), (word,), word.start, word.end)
        )
    return Or(tuple(parts))
