r"""One word of a command line, for whoever pastes it into a shell, mostly as root.

``shell_word`` is for sentences: it reads the same for every shell that an operator may have (dash, bash, zsh,
ksh, busybox, fish, tcsh), and is shown as it is; what cannot be had so has no word. ``quoted`` is for a line
that is copied as it is: it takes any bytes, for bash, zsh, ksh and busybox.
"""

from __future__ import annotations

import os
import re
from typing import Final

from execwhy.tui.model.text.printable import printable

_PLAIN: Final = re.compile(r"[A-Za-z0-9_./:,@+-][A-Za-z0-9_./:,@%+=-]*", re.ASCII)
"""Words that no shell looks into. One that begins with = is a program's path to zsh, with % a job to fish."""

_UNSAFE: Final = frozenset("`!")
"""A backquote would end the command in its sentence; csh expands ! within single quotes, too."""

_RUNS: Final = re.compile(r"'+|\\+|[^'\\]+")
"""Quotes and backslashes stand between double quotes: fish has escapes of both within single ones."""

_NAMED: Final = {"\n": r"\n", "\r": r"\r", "\t": r"\t", "\\": r"\\", "'": r"\047", "!": r"\041"}
"""Within $'': the last two by their numbers, since history expansion does not know this quoting."""


def shell_word(word: str) -> str | None:
    """Return one word for any shell, shown by ``printable`` as it is; None where there is no such word.

    There is none for control characters, what cannot be seen, bytes that are not valid UTF-8, a backslash
    (shown as two), a backquote and an exclamation mark.

    Args:
        word: Any string without a null character; lone surrogates stand for bytes.
    """
    return None if printable(word) != word or _UNSAFE & set(word) else _simply(word)


def quoted(word: str) -> str:
    r"""Return one word for bash, zsh, ksh or busybox; printable but for its backslashes, whatever it holds.

    What is printable is quoted for dash and fish as well. Else the word stands in ``$'…'`` with its bytes in
    octal, which these two do not know: a pasted control character would act on the terminal before the shell
    sees it, and an invisible one would deceive who reads it.

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
