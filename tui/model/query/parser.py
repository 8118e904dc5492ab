"""A recursive-descent parser for filters.

query = [or]          or  = and {"or" and}        and  = not {["and"] not}
not   = ("not" | "!") not | "(" or ")" | term
term  = field operator value | field "in" "(" value {"," value} ")" | word
"""

from __future__ import annotations

from typing import Final

from execwhy.tui.model.query.conditions import bare_word, condition, field_of
from execwhy.tui.model.query.fields import FIELDS, Field
from execwhy.tui.model.query.lexer import QueryError, Scanner, Token
from execwhy.tui.model.query.terms import And, Node, Not, Or, Term

LONGEST_QUERY: Final = 4096
"""Characters: a filter is one line that people read."""

_DEEPEST: Final = 40
"""Nested parentheses and negations: well below Python's recursion limit."""


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
            return bare_word(word)
        operator = scanner.operator()
        if operator is not None:
            return self._comparison(field_of(word), word, operator)
        if word.text.lower() in FIELDS and self._keyword("in"):
            return self._membership(field_of(word), word)
        return bare_word(word)

    def _comparison(self, field: Field, name: Token, operator: Token) -> Term:
        value = self._scanner.value(in_list=False)
        if value is None:
            at = self._scanner.at
            raise QueryError(f"expected {field.kind.value} after {operator.text}", at, at)
        return condition(field, operator, (value,), name.start, value.end)

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
        return condition(field, Token("==", name.end, name.end), tuple(values), name.start, scanner.at)
