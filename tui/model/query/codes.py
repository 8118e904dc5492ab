"""Codes of causes in a filter: an unknown code would select nothing, and is usually a typo."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from execwhy.tui.model.query.fields import nearest

FIELDS_OF_CODES: Final = frozenset({"why", "diagnosis.code"})
"""The fields that hold codes; the first one holds other words as well."""

_SHAPE: Final = re.compile(r"[a-z]+(-[a-z]+)+")


def slip(text: str, holds: Callable[[str], bool]) -> str | None:
    """Return what was expected if a text looks like a code but matches none; else None.

    Args:
        text: The requested text, without quotes: a quoted one may be any words, or a code of another version.
        holds: Returns whether a code matches the request.
    """
    if not _SHAPE.fullmatch(text):
        return None
    # Imported only here: the other parts of the filter language do not need the causes.
    from execwhy.tui.why.causes import codes

    if any(map(holds, codes())):
        return None
    meant = nearest(text, dict.fromkeys(codes()))
    hint = f"; did you mean {meant}?" if meant else ""
    return f"a cause, such as missing-file, or other words in quotes{hint}"
