"""The tokens of the filter language: words, operators, values and quotes, each with its place."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

OPERATORS: Final = ("==", "!=", "<=", ">=", "!:", "!~", "=", "<", ">", ":", "~")
"""Longest first."""

_OPERATOR: Final = re.compile("|".join(OPERATORS))
_SPACE: Final = re.compile(r"\s*")
_WORD: Final = re.compile(r"[^\s()\"'!=<>~:,][^\s()\"!=<>~:,]*")
_PLAIN: Final = re.compile(r"[^\s()\"]+")
_ESCAPES: Final = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", '"': '"', "'": "'"}
_HEX_DIGITS: Final = {"x": 2, "u": 4, "U": 8}


class QueryError(ValueError):
    """A filter that cannot be parsed or applied.

    Attributes:
        message: One sentence. It may quote the text: pass it through ``printable`` before showing it.
        start: Where in the text the error begins.
        end: Where it ends; equal to ``start`` if something is missing there.
    """

    def __init__(self, message: str, start: int, end: int) -> None:
        super().__init__(message)
        self.message = message
        self.start = start
        self.end = end


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the text.

    Attributes:
        text: Its text, without quotes and escapes.
        start: Where it begins.
        end: Where it ends.
        quoted: Whether it was in quotes, so that nothing in it has a special meaning.
    """

    text: str
    start: int
    end: int
    quoted: bool = False

    def is_word(self, word: str) -> bool:
        """Return whether it is this keyword, in upper or lower case and not in quotes."""
        return not self.quoted and self.text.lower() == word


class Scanner:
    """Reads a filter from left to right; the parser determines which kind of token comes next."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def peek(self) -> str:
        """Return the next character that is not white space; "" at the end."""
        self._skip_space()
        return self.text[self.at : self.at + 1]

    def take(self, character: str) -> bool:
        """Skip this character if it is the next one; return whether it was."""
        if self.peek() != character:
            return False
        self.at += 1
        return True

    def operator(self) -> Token | None:
        """Read the next operator; return None if none comes next."""
        self._skip_space()
        return self._token(_OPERATOR)

    def word(self) -> Token | None:
        """Read the name of a field, a keyword or a word to search for; return None if none comes next.

        A word that begins like a path or an option is text up to the next space: ``/opt/a=b``.
        """
        start = self.peek()
        if start and start in "\"'":
            return self._quoted()
        return self._plain(stop="") if start and start in "/.-*?[" else self._token(_WORD)

    def value(self, *, in_list: bool) -> Token | None:
        """Read the value after an operator; return None if there is none.

        Balanced parentheses belong to the value, so that ``~^/(bin|sbin)/`` needs no quotes.
        """
        start = self.peek()
        if start and start in "\"'":
            return self._quoted()
        return self._plain(stop="," if in_list else "")

    def _skip_space(self) -> None:
        space = _SPACE.match(self.text, self.at)
        assert space is not None
        self.at = space.end()

    def _token(self, pattern: re.Pattern[str]) -> Token | None:
        found = pattern.match(self.text, self.at)
        if found is None:
            return None
        self.at = found.end()
        return Token(found.group(), found.start(), found.end())

    def _plain(self, stop: str) -> Token | None:
        start, depth = self.at, 0
        while self.at < len(self.text):
            character = self.text[self.at]
            if character == '"':
                raise QueryError('put the whole value in quotes: "..."', self.at, self.at + 1)
            if character.isspace() or (character == stop and not depth) or (character == ")" and not depth):
                break
            if character == "\\" and self.text[self.at + 1 : self.at + 2] in ("(", ")"):
                self.at += 1
            else:
                depth += (character == "(") - (character == ")")
            self.at += 1
        return Token(self.text[start : self.at], start, self.at) if self.at > start else None

    def _quoted(self) -> Token:
        start, quote = self.at, self.text[self.at]
        pieces: list[str] = []
        self.at += 1
        while self.at < len(self.text):
            character = self.text[self.at]
            self.at += 1
            if character == quote:
                return Token("".join(pieces), start, self.at, quoted=True)
            pieces.append(self._escape() if character == "\\" else character)
        raise QueryError(f"expected a closing {quote}", start, len(self.text))

    def _escape(self) -> str:
        """Read the escape after a backslash; one that escapes nothing is kept, for regular expressions."""
        start = self.at - 1
        letter = self.text[self.at : self.at + 1]
        self.at += 1
        if letter in _ESCAPES:
            return _ESCAPES[letter]
        if letter not in _HEX_DIGITS:
            return "\\" + letter
        count = _HEX_DIGITS[letter]
        digits = self.text[self.at : self.at + count]
        self.at += count
        if not re.fullmatch(f"[0-9a-fA-F]{{{count}}}", digits) or int(digits, 16) > 0x10FFFF:
            end = min(self.at, len(self.text))
            raise QueryError(
                f"expected {count} hexadecimal digits of a character after \\{letter}", start, end
            )
        number = int(digits, 16)
        return chr(number + 0xDC00 if letter == "x" and number >= 0x80 else number)


def quoted(text: str, *, always: bool = False) -> str:
    """Return a text as a value of the language: on one line, safe on a terminal, in quotes if necessary."""
    if not always and _BARE_VALUE.fullmatch(text) and text.lower() != "null":
        return text
    return '"' + "".join(map(_escaped, text)) + '"'


_BARE_VALUE: Final = re.compile(r"[A-Za-z0-9_/.+@%-][A-Za-z0-9_/.+@%=:-]*", re.ASCII)


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if character.isprintable():
        return character
    number = ord(character)
    if 0xDC80 <= number <= 0xDCFF:
        return f"\\x{number - 0xDC00:02x}"
    if number < 0x80:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"
