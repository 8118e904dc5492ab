"""A recursive-descent parser for filters.

query = [or]          or  = and {"or" and}        and  = not {["and"] not}
not   = ("not" | "!") not | "(" or ")" | term
term  = field operator value | field "in" "(" value {"," value} ")" | word
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from execwhy.tui.model.query import text as query_text
from execwhy.tui.model.query.codes import FIELDS_OF_CODES, slip
from execwhy.tui.model.query.fields import FIELDS, TEXT_KINDS, Field, Kind, nearest
from execwhy.tui.model.query.lexer import QueryError, Scanner, Token
from execwhy.tui.model.query.terms import And, InRanges, IsNull, Node, Not, Or, Term
from execwhy.tui.model.query.text import PatternProblem, TextTest
from execwhy.tui.model.query.values import ERRORS, Bound, ValueProblem, bound, error_numbers, number, uids
from execwhy.tui.model.text.printable import original

LONGEST_QUERY: Final = 4096
"""Characters: a filter is one line that people read."""

_DEEPEST: Final = 40
"""Nested parentheses and negations: well below Python's recursion limit."""

_COMPARISONS: Final = frozenset({"<", "<=", ">", ">="})
_NAMED: Final = frozenset({Kind.ERROR, Kind.USER})
"""Numbers with names: a pattern is compared with the names."""


class Parser:
    """Parses one text."""

    def __init__(self, text: str) -> None:
        self._scanner = Scanner(text)
        self._depth = 0

    def parse(self) -> Node:
        """Parse the whole text.

        Raises:
            QueryError: The text is not a filter.
        """
        text = self._scanner.text
        if len(text) > LONGEST_QUERY:
            raise QueryError(f"a filter has at most {LONGEST_QUERY} characters", LONGEST_QUERY, len(text))
        if not self._scanner.peek():
            return And(())
        node = self._or("")
        if self._scanner.peek():
            at = self._scanner.at
            found = self._scanner.peek()
            what = (
                "no ( is open here" if found == ")" else f"expected a field, a word or the end, not {found}"
            )
            raise QueryError(what, at, at + 1)
        return node

    def _or(self, after: str) -> Node:
        parts = [self._and(after)]
        while self._keyword("or"):
            parts.append(self._and("or"))
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _and(self, after: str) -> Node:
        parts: list[Node] = []
        places: list[tuple[int, int]] = []
        while True:
            self._scanner.peek()
            start = self._scanner.at
            parts.append(self._not(after))
            places.append((start, self._scanner.at))
            if self._keyword("and"):
                after = "and"
            elif self._scanner.peek() in ("", ")") or self._is_ahead("or"):
                break
            else:
                after = ""
        return parts[0] if len(parts) == 1 else And(tuple(parts), tuple(places))

    def _not(self, after: str) -> Node:
        start = self._scanner.at
        self._depth += 1
        if self._depth > _DEEPEST:
            raise QueryError(
                f"at most {_DEEPEST} parentheses and negations inside each other", start, start + 1
            )
        try:
            if self._keyword("not"):
                return Not(self._not("not"))
            if self._negation():
                return Not(self._not("!"))
            if self._scanner.take("("):
                return self._group()
            return self._term(after)
        finally:
            self._depth -= 1

    def _group(self) -> Node:
        start = self._scanner.at - 1
        node = self._or("(")
        if not self._scanner.take(")"):
            at = self._scanner.at if self._scanner.peek() else start
            raise QueryError("expected ) for the ( that is open", at, at + 1)
        return node

    def _negation(self) -> bool:
        """Skip a ``!`` that does not begin an operator; return whether there was one."""
        if self._scanner.peek() != "!":
            return False
        start = self._scanner.at
        operator = self._scanner.operator()
        if operator is not None:
            raise QueryError(f"expected a field before {operator.text}", start, operator.end)
        self._scanner.at = start + 1
        return True

    def _is_ahead(self, keyword: str) -> bool:
        start = self._scanner.at
        found = self._keyword(keyword)
        self._scanner.at = start
        return found

    def _keyword(self, keyword: str) -> bool:
        start = self._scanner.at
        if self._scanner.peek() in ('"', "'"):
            return False
        word = self._scanner.word()
        if word is not None and word.is_word(keyword):
            return True
        self._scanner.at = start
        return False

    def _term(self, after: str) -> Node:
        scanner = self._scanner
        found = scanner.peek()
        start = scanner.at
        word = scanner.word()
        where = f" after {after}" if after else ""
        if word is None:
            operator = scanner.operator()
            if operator is not None:
                raise QueryError(f"expected a field before {operator.text}", start, operator.end)
            what = f", not {found}" if found else ""
            raise QueryError(f"expected a field or a word{where}{what}", start, start + len(found))
        if any(word.is_word(keyword) for keyword in ("and", "or")):
            raise QueryError(f"expected a field or a word{where}, not {word.text}", word.start, word.end)
        if word.quoted or word.text[0] in "/.-*?[":
            return _bare(word)
        operator = scanner.operator()
        if operator is not None:
            return self._comparison(_field(word), word, operator)
        if word.text.lower() in FIELDS and self._keyword("in"):
            return self._membership(_field(word), word)
        return _bare(word)

    def _comparison(self, field: Field, name: Token, operator: Token) -> Term:
        value = self._scanner.value(in_list=False)
        if value is None:
            at = self._scanner.at
            raise QueryError(f"expected {field.kind.value} after {operator.text}", at, at)
        return _term(field, operator, (value,), name.start, value.end)

    def _membership(self, field: Field, name: Token) -> Term:
        scanner = self._scanner
        if not scanner.take("("):
            raise QueryError("expected ( after in, as in uid in (0,33)", scanner.at, scanner.at)
        values: list[Token] = []
        while True:
            scanner.peek()
            value = scanner.value(in_list=True)
            if value is None:
                raise QueryError(f"expected {field.kind.value}", scanner.at, scanner.at)
            values.append(value)
            if scanner.take(")"):
                break
            if not scanner.take(","):
                raise QueryError("expected , or ) after the value", scanner.at, scanner.at)
        return _term(field, Token("==", name.end, name.end), tuple(values), name.start, scanner.at)


def _field(name: Token) -> Field:
    field = FIELDS.get(name.text.lower())
    if field is None:
        meant = nearest(name.text.lower(), FIELDS)
        hint = f"did you mean {meant}" if meant else "put it in quotes to search for it as text"
        raise QueryError(
            f"no field has the name {name.text}: {hint}?"
            if meant
            else f"no field has the name {name.text}: {hint}",
            name.start,
            name.end,
        )
    return field


def _term(field: Field, operator: Token, values: Sequence[Token], start: int, end: int) -> Term:
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


def _bare(word: Token) -> Node:
    """Return the condition for a bare word: in the path, comm or an argument, or the errno of that name."""
    colon = Token(":", word.start, word.start)
    parts = [_term(FIELDS[name], colon, (word,), word.start, word.end) for name in ("path", "comm", "arg")]
    if word.text in ERRORS and not word.quoted:
        parts.append(
            _term(FIELDS["error"], Token("==", word.start, word.start), (word,), word.start, word.end)
        )
    return Or(tuple(parts))
