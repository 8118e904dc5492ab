"""Codes of causes in a filter: one that no cause has declared selects nothing, and is mostly a slip."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from execwhy.tui.model.query.fields import nearest

FIELDS_OF_CODES: Final = frozenset({"why", "diagnosis.code"})
"""The fields that have codes; the first one has words as well."""

_SHAPE: Final = re.compile(r"[a-z]+(-[a-z]+)+")


def slip(text: str, holds: Callable[[str], bool]) -> str | None:
    """Return what was expected, where a text has the shape of a code and no code matches; else None.

    Args:
        text: What is asked for, not in quotes: these are for words, and for the codes of other versions.
        holds: Whether a code is what is asked for.
    """
    if not _SHAPE.fullmatch(text):
        return None
    # Looking at files is no part of the filter language, until a code has to be known.
    from execwhy.tui.why.causes import codes

    if any(map(holds, codes())):
        return None
    meant = nearest(text, dict.fromkeys(codes()))
    hint = f"; did you mean {meant}?" if meant else ""
    return f"a cause, such as missing-file, or other words in quotes{hint}"
