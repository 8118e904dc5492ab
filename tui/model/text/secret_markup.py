"""Secrets in XML: values of elements and attributes that are named as secrets.

Every pattern runs over hostile text, so none may take more than linear time.
"""

from __future__ import annotations

import re
from typing import Final

from execwhy.tui.model.text.secret_names import is_secret
from execwhy.tui.model.text.secret_words import MASK

_ELEMENT: Final = re.compile(
    r"""<[A-Za-z][\w:.-]{0,63}+(?P<attributes>(?:\s{1,8}+[\w:.-]{1,64}+=\\?(?:"[^"<>]{0,1024}+"|'[^'<>]{0,1024}+')){1,16}+)
      \s{0,8}+(?:/?>)(?P<content>(?:\s{0,8}+<value>)?+[^<]{1,1024}+(?=</))?+
  | <(?P<opening>name|key)>(?P<name>[^<]{1,256}+)</(?P=opening)>\s{0,8}+<(?:value|string)>
      (?P<value>[^<]{1,1024}+)(?=</)""",
    re.VERBOSE,
)
"""An element with attributes and its content, or an element with a name and the one with its value."""

_ATTRIBUTE: Final = re.compile(
    r"""(?P<name>[\w:.-]{1,64}+)=\\?(?:"(?P<double>[^"\\]{1,1024})|'(?P<single>[^'\\]{1,1024}))"""
)

_NAMING: Final = frozenset(("key", "name", "id", "property", "param"))
"""Attributes that name the content of an element."""


def mask_markup(text: str, found: list[str]) -> str:
    """Mask the values in XML that are named as secrets.

    Args:
        text: Any string.
        found: Takes the secrets.
    """
    pieces: list[str] = []
    done = 0
    for element in _ELEMENT.finditer(text):
        for start, end in _secrets_of(element):
            found.append(text[start:end])
            pieces += text[done:start], MASK
            done = end
    return "".join(pieces) + text[done:] if pieces else text


def _secrets_of(element: re.Match[str]) -> list[tuple[int, int]]:
    """Return where the secrets of an element are, in their order."""
    if element["name"] is not None:
        return [element.span("value")] if is_secret(element["name"].strip(), element["value"]) else []
    attributes = list(_ATTRIBUTE.finditer(element.string, *element.span("attributes")))
    names = [
        one[one.lastgroup or 0] for one in attributes if one["name"].lower() in _NAMING and one.lastgroup
    ]
    places = [one.span(one.lastgroup or 0) for one in attributes if one["name"].lower() == "value"]
    content = element["content"]
    if content is not None and content.strip():
        start, end = element.span("content")
        places.append((start + content.rfind(">") + 1, end))
    return [
        (start, end)
        for start, end in places
        if any(is_secret(name, element.string[start:end]) for name in names)
    ]
