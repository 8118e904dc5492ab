"""Masking a record's known secrets wherever they occur in it.

A diagnosis quotes an argument without the option before it, and a path may repeat a variable.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Final

from execwhy.tui.model.text.printable import printable
from execwhy.tui.model.text.secret_words import MASK

_SHORTEST: Final = 4
"""Characters of a secret that is masked wherever it occurs; shorter ones occur within other words."""

_UNMISTAKABLE: Final = re.compile(r"(?=.*[0-9])(?=.*[A-Za-z]).{6,}|(?=.*[^\w/. -]).{6,}|.{16,}", re.DOTALL)
"""Secrets that are not words: they are also masked in the record's own strings, not only in sentences."""


class RecordSecrets:
    """The secrets of one record, to be masked wherever they occur."""

    def __init__(self, found: Iterable[str], shown: Sequence[str | None]) -> None:
        """Choose the secrets that can be searched for.

        Args:
            found: The secrets.
            shown: Strings that the record shows in full: a word in one of them is no longer a secret.
        """
        whole = dict.fromkeys(
            piece for secret in found for piece in secret.split(MASK) if len(piece) >= _SHORTEST
        )
        chosen = [
            secret
            for secret in whole
            if _UNMISTAKABLE.fullmatch(secret) or not any(text and secret in text for text in shown)
        ]
        self._clear = tuple(filter(_UNMISTAKABLE.fullmatch, chosen))
        # A sentence may quote a text in its printable form.
        self._all = tuple(dict.fromkeys([*chosen, *map(printable, chosen)]))

    def in_strings(self, texts: Sequence[str | None]) -> Sequence[str | None]:
        """Mask the secrets in all strings of the record.

        A record may have hundreds of secrets and of strings, so each secret is searched for in all strings at
        once. This is fast in the usual case that none occurs.
        """
        together = "\0".join(text or "" for text in texts)
        starts: list[int] = []
        found: defaultdict[int, list[str]] = defaultdict(list)
        for secret in self._clear:
            at = together.find(secret)
            if at >= 0 and not starts:
                starts = [0, *accumulate(len(text or "") + 1 for text in texts)]
            while at >= 0:
                after = bisect_right(starts, at)
                found[after - 1].append(secret)
                at = together.find(secret, starts[after])
        if not found:
            return texts
        masked = list(texts)
        for index, secrets in found.items():
            masked[index] = _replaced(masked[index] or "", secrets)
        return masked

    def in_string(self, text: str) -> str:
        """Mask the secrets in one string of the record."""
        return _replaced(text, self._clear)

    def in_sentence(self, text: str) -> str:
        """Mask the secrets in a text that was made from the record's strings."""
        return _replaced(text, self._all)


def _replaced(text: str, secrets: Sequence[str]) -> str:
    """Mask these secrets without regular expressions, because a record may have a thousand secrets."""
    for secret in secrets:
        if secret in text:
            text = _without(text, secret)
    return text


def _without(text: str, secret: str) -> str:
    """Mask a secret, except within a longer word."""
    pieces: list[str] = []
    done, at = 0, text.find(secret)
    while at >= 0:
        end = at + len(secret)
        if _joined(text[at - 1 : at], secret[0]) or _joined(text[end : end + 1], secret[-1]):
            at = text.find(secret, at + 1)
            continue
        pieces += text[done:at], MASK
        done, at = end, text.find(secret, end)
    return "".join(pieces) + text[done:]


def _joined(beside: str, edge: str) -> bool:
    """Return whether a character is in the same word as the first or last character of a secret."""
    return edge.isalnum() and beside.isascii() and beside.isalnum()
