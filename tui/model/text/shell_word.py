r"""One word of a command line that may be pasted into a shell, often as root.

``shell_word`` is for sentences: its result means the same in every common shell (dash, bash, zsh, ksh,
busybox, fish, tcsh) and is shown unchanged; strings for which that is impossible have no such word.
``quoted`` is for copied lines: it accepts any bytes, for bash, zsh, ksh and busybox.
"""

from __future__ import annotations

import os
import re
from typing import Final

from execwhy.tui.model.text.printable import printable

_PLAIN: Final = re.compile(r"[A-Za-z0-9_./:,@+-][A-Za-z0-9_./:,@%+=-]*", re.ASCII)
"""Words without meaning to any shell. Initial = is a program's path in zsh, initial % a job in fish."""

_UNSAFE: Final = frozenset("`!")
"""A backquote would end the command in its sentence; csh expands ! even within single quotes."""

_RUNS: Final = re.compile(r"'+|\\+|[^'\\]+")
"""Quotes and backslashes go between double quotes, because fish escapes both within single ones."""

_NAMED: Final = {"\n": r"\n", "\r": r"\r", "\t": r"\t", "\\": r"\\", "'": r"\047", "!": r"\041"}
"""Escapes within $'': the last two by number, because history expansion ignores this quoting."""


def shell_word(word: str) -> str | None:
    """Return one word for any shell that ``printable`` leaves unchanged; None if there is no such word.

    There is none for strings with control or invisible characters, bytes that are not valid UTF-8, a
    backslash (which is shown as two), a backquote or an exclamation mark.

    Args:
        word: Any string without a null character; lone surrogates stand for bytes.
    """
    return None if printable(word) != word or _UNSAFE & set(word) else _simply(word)


def quoted(word: str) -> str:
    r"""Return one word for bash, zsh, ksh or busybox; it is printable except for its backslashes.

    Printable text is quoted so that dash and fish accept it, too. Other text is written in ``$'…'`` with its
    bytes in octal, which these two do not know: a pasted control character would act on the terminal before
    the shell sees it, and an invisible one would deceive the reader.

    Args:
        word: Any string without a null character; lone surrogates stand for bytes.
    """
    if printable(word.replace("\\", "")) == word.replace("\\", ""):
        return _simply(word)
    return "$'" + "".join(map(_escaped, word)) + "'"


def _simply(word: str) -> str:
    if _PLAIN.fullmatch(word):
        return word
    return "".join(map(_quoted_run, _RUNS.findall(word))) or "''"


def _quoted_run(run: str) -> str:
    if run.startswith("'"):
        return f'"{run}"'
    return '"' + run.replace("\\", "\\\\") + '"' if run.startswith("\\") else f"'{run}'"


def _escaped(character: str) -> str:
    if character in _NAMED:
        return _NAMED[character]
    if character.isascii() and character.isprintable():
        return character
    if printable(character) == character:
        return character
    return "".join(f"\\{byte:03o}" for byte in os.fsencode(character))
