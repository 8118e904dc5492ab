"""Conditions on text: equality, substring, glob and regular expression.

They are applied to strings that hostile processes chose, so each takes a bounded time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

LONGEST_PATTERN: Final = 500
"""Characters of a glob or a regular expression: nobody types more, and a longer one may compile slowly."""

LONGEST_SUBJECT: Final = 4096
"""Characters of a text that a pattern is compared with (PATH_MAX): limits the cost of one string."""

_SUBJECT_OF_DEGREE: Final = (LONGEST_SUBJECT, LONGEST_SUBJECT, LONGEST_SUBJECT, 512)
"""Characters of a text that a regular expression is compared with, by the degree of its running time.

Each unbounded repetition, and a start without ``^``, may multiply the work by the length of the text. With
these limits one hostile string takes about 10 ms at most.
"""

_MOST_CHOICES: Final = 8
"""Optional parts and groups with alternatives in a regular expression: each may double the work."""

_SEPARATOR: Final = "\0"
"""Separates texts that are searched at once; no argument of a process can contain it."""


class PatternProblem(ValueError):
    """A pattern that cannot be used; ``str()`` is one sentence."""


@dataclass(frozen=True, slots=True)
class TextTest:
    """A condition on a text; None, an unknown text, never meets it.

    Attributes:
        check: Returns whether a text meets it.
        inside: If the only condition is a substring, that substring in lower case: many texts can then be
            searched at once.
    """

    check: Callable[[str], bool]
    inside: str | None = None

    def holds(self, text: str | None) -> bool:
        """Return whether this text meets it."""
        return text is not None and self.check(text)

    def holds_for_any(self, texts: Sequence[str | None]) -> bool:
        """Return whether one of these texts meets it."""
        if self.inside and _SEPARATOR not in self.inside:
            try:
                return self.inside in _SEPARATOR.join(texts).lower()  # type: ignore[arg-type]
            except TypeError:  # an element is None, which is rare
                pass
        return any(map(self.holds, texts))


def is_glob(text: str) -> bool:
    """Return whether a text has a wildcard; an unclosed bracket is text, as in an escape sequence."""
    return "*" in text or "?" in text or -1 < text.find("[") < text.rfind("]")


def any_of(tests: Sequence[TextTest]) -> TextTest:
    """Return the condition that one of these holds."""
    if len(tests) == 1:
        return tests[0]
    return TextTest(lambda subject: any(test.check(subject) for test in tests))


def equal(text: str) -> TextTest:
    """Return the condition for exactly this text."""
    return TextTest(text.__eq__)


def substring(text: str) -> TextTest:
    """Return the condition for texts that contain this one, ignoring case."""
    wanted = text.lower()
    return TextTest(lambda subject: wanted in subject.lower(), inside=wanted)


def glob(pattern: str, *, path: bool) -> TextTest:
    """Return the condition for a glob, which matches the whole text and its case, as in a shell.

    It never matches a text of more than 4,096 characters.

    Args:
        pattern: ``*`` stands for any characters, ``?`` for one, ``[a-z]`` and ``[!a-z]`` for one of a class.
        path: Whether ``*``, ``?`` and classes stop at a slash. ``**`` does not, and ``**/`` at the beginning
            of a component also matches nothing.

    Raises:
        PatternProblem: The pattern is too long, or has an invalid class.
    """
    _check_length(pattern)
    match = re.compile(_glob_as_regex(pattern, path), re.DOTALL).fullmatch
    return TextTest(lambda subject: len(subject) <= LONGEST_SUBJECT and match(subject) is not None)


def regex(pattern: str) -> TextTest:
    """Return the condition that a regular expression matches a part of the text.

    It is searched for in the first 4,096 characters, or 512 if its running time is of degree 3.

    Raises:
        PatternProblem: It is not a regular expression, or could take for ever.
    """
    _check_length(pattern)
    try:
        search = re.compile(pattern).search
    except (re.error, OverflowError, RecursionError) as error:
        raise PatternProblem(f"not a regular expression: {error}") from None
    longest = _SUBJECT_OF_DEGREE[_degree(pattern)]
    return TextTest(lambda subject: search(subject[:longest]) is not None)


def _check_length(pattern: str) -> None:
    if len(pattern) > LONGEST_PATTERN:
        raise PatternProblem(f"a pattern has at most {LONGEST_PATTERN} characters")


def _glob_as_regex(pattern: str, path: bool) -> str:
    """Return a glob as a regular expression that hardly ever backtracks.

    Between two stars the first place that fits is as good as any later one, so the search for it is
    atomic; only the parts after the last ``**`` and the last ``*`` are tried at several places.
    """
    one = "[^/]" if path else "."
    chains: list[tuple[str, list[str]]] = [("", [""])]
    begins = True
    for token in _GLOB_TOKEN.findall(pattern):
        if path and token.startswith("**"):
            slash = "/" if token.endswith("/") else ""
            chains.append(("(?:.*?/)??", [""]) if slash and begins else (".*?", [slash]))
        elif token[0] == "*":
            chains[-1][1].append("/" if token.endswith("/") else "")
        elif token == "?":
            chains[-1][1][-1] += one
        elif token[0] == "[" and len(token) > 1:
            chains[-1][1][-1] += ("(?!/)" if path else "") + _class(token[1:-1])
        else:
            chains[-1][1][-1] += re.escape(token)
        begins = token.endswith("/")
    written = ""
    for index, (reach, (chain, *segments)) in enumerate(chains):
        is_last = index == len(chains) - 1
        for number, segment in enumerate(segments, 1):
            is_end = is_last and number == len(segments)
            chain += f"{one}*{segment}" if is_end else f"(?>{one}*?{segment})"
        written += reach + chain if is_last or not reach else f"(?>{reach}{chain})"
    return written


def _class(members: str) -> str:
    negated = members.startswith("!")
    body = re.sub(r"([\\\[\]^&~|])", r"\\\1", members.removeprefix("!"))
    try:
        re.compile(f"[{body}]")
    except re.error as error:
        raise PatternProblem(f"not a class of characters: [{members}]") from error
    return f"[{'^' if negated else ''}{body}]"


_GLOB_TOKEN: Final = re.compile(r"\*\*+/?|\*|\?|\[!?\]?[^\]]*\]|.", re.DOTALL)
_REGEX_TOKEN: Final = re.compile(
    r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\((?:\?(?:P?[=!:]|<[=!]|P?<\w+>|P=\w+|[aiLmsux-]+:?|>)?)?|\)|"
    r"[*+]|\{\d*,\d*\}|\{\d+\}|\?|.",
    re.DOTALL,
)


def _degree(pattern: str) -> int:
    """Return the degree of a pattern's running time: how often a matcher may start over at any place.

    Python's ``re`` has no time limit and holds the interpreter's lock, so patterns that can take exponential
    time are refused: a repeated group must not contain a repetition, an option or an alternative, and there
    are no back-references.

    Raises:
        PatternProblem: It could take for ever.
    """
    outer: list[bool] = []
    varies = after_varying_group = after_repeat = False
    degree = 0 if pattern.startswith("^") and "|" not in pattern else 1
    choices = 0
    for token in _REGEX_TOKEN.findall(pattern):
        repeats = token in ("*", "+") or (token[0] == "{" and len(token) > 1)
        if repeats and after_varying_group:
            raise PatternProblem("a repeated group that varies in itself can take for ever")
        if re.fullmatch(r"\\[1-9]|\(\?P=\w+", token):
            raise PatternProblem("a back-reference can take for ever")
        after_varying_group = token == ")" and varies
        choices += after_varying_group or (token == "?" and not after_repeat)
        if token[0] == "(":
            outer.append(varies)
            varies = False
        elif token == ")":
            varies = bool(outer and outer.pop()) or varies
        elif repeats or token in ("?", "|"):
            varies = True
        after_repeat = repeats
        degree += repeats and not re.fullmatch(r"\{\d+\}", token)
    if degree >= len(_SUBJECT_OF_DEGREE):
        raise PatternProblem("at most 3 repetitions, or 2 where it does not begin with ^")
    if choices > _MOST_CHOICES:
        raise PatternProblem(f"at most {_MOST_CHOICES} groups and options")
    return degree
