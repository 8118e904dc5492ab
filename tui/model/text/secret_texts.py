"""Secrets within a text, by the names before them: PASSWORD=x, "password": "x", --token x, Pwd=x;.

A name and its separator are found first, then the value up to its closing quote. Every pattern runs over
hostile text, so none may take more than linear time.
"""

from __future__ import annotations

import re
from typing import Final

from execwhy.tui.model.text.secret_markup import mask_markup
from execwhy.tui.model.text.secret_names import is_secret, is_secret_name
from execwhy.tui.model.text.secret_scripts import mask_calls, mask_input, substitute
from execwhy.tui.model.text.secret_shapes import IN_ADDRESS, IN_HEADER, IN_USERINFO, RUN, TOKENS
from execwhy.tui.model.text.secret_words import MASK, mask_commands

_NAMED: Final = re.compile(
    r"""(?:(?<![\w.-])|(?<=%[0-9A-Fa-f]{2})|(?<=%25[0-9A-Fa-f]{2}))(?P<name>-{0,2}[A-Za-z_][\w.-]{0,255}(?:\[\w{0,64}\])?)
    (?: (?P<assigned>\\{0,3}["']?\s{0,4}(?:=>|:=|==?)\s{0,4})
      | (?P<indexed>\\{0,3}["']\]\s{0,4}=\s{0,4}(?=\\{0,3}["']))
      | (?P<encoded>%(?:25){0,3}3[Dd]|%22%3[Aa](?:%20|\+)?%22)
      | (?P<quoted>\\{0,3}["']\s{0,4}:\s{0,4})
      | (?P<colon>:\s{0,4})
      | (?P<next>\s{1,4}(?=[^\s=-])|["'],\s{0,4}(?=["']))
      | (?P<tag>>(?=[^<\s]))
    )""",
    re.VERBOSE,
)
"""A name, and what separates it from its value."""

_VALUE: Final = re.compile(
    r"""\\{1,3}"(?P<escaped>(?:[^"\\]|\\{1,3}[^"\\])*) | "(?P<double>(?:[^"\\]|\\.)*) | '(?P<single>[^']*)
    | (?P<plain>[^\s"'&;|<>]+)""",
    re.VERBOSE | re.DOTALL,
)

_BRACED: Final = re.compile(r"""\{(?!\{)((?:[^{}"'\n]|\}\}){1,256}+)\}""")
"""A value in braces, as ODBC has it where there is a semicolon in it."""

_ENCODED_END: Final = re.compile(r"%(?:25){0,3}(?:26|23|22|7[Dd])")
"""What ends a value in a text that is percent-encoded as a whole: & # " and }."""

_LIST: Final = re.compile(r"""\[\s{0,4}["'][^\]]{0,4096}""")
"""A value that is an array of texts."""

_LONGEST_LOOKED_INTO: Final = 1024
"""Characters of a value that is not a secret itself, but may contain names with values."""

_TIGHT: Final = re.compile(
    r"(?:[A-Za-z]{0,4}H(?=[A-Z]))?(?i:x-[\w-]+|private-token|\w*(?:password|passwd|passphrase|pwd|secret|api_?key|token)|\w+_key)"
)
"""Names that announce a secret after a colon without a blank: of a header, also right after curl's -H, or of
YAML on one line."""

_HINT: Final = re.compile(
    r"pass|pw|secret|token|key|auth|cred|cookie|bearer|jwt|psk|dsn|sig|otp|sess"
    r"|api|sas(?![a-z])|_sk|-sk|licen[cs]e|etcdctl|bundle_|pdo|mysqli|connect|securestring"
    r"|identified|sonar|login|hook|mnemonic|seed|hmac|salt|pepper|pat(?![a-z])|sid(?![a-z])|pin(?![a-z])|pincode"
)
"""Parts of names in lower case: every name of a secret contains one."""


_ADDRESSED: Final = ("?", "&", "hook", "hc-ping", "pagerduty", "ifttt", "telegram")
"""Every address of ``IN_ADDRESS`` contains one of these."""

_HEADED: Final = ("authorization", "cookie", "bearer", "pass:")
"""Every header of ``IN_HEADER`` contains one of these."""


def mask_named(text: str, found: list[str]) -> str:
    """Mask the values of secret names, and add them to ``found``."""
    pieces: list[str] = []
    done = at = 0
    while named := _NAMED.search(text, at):
        at = named.end()
        value = _value_of(named, text) if is_secret_name(named["name"]) else None
        if value is None:
            continue
        start, end = value
        is_bare = bool(named["quoted"]) and text[start - 1] not in "\"'["
        # A value that is its own name in braces is a template, except in a connection string.
        is_bare |= text[start - 1] == "{" and text[named.start() - 1 : named.start()] != ";"
        if start < end and is_secret(named["name"], text[start:end], in_script=True, is_bare=is_bare):
            found.append(text[start:end])
            pieces += text[done:start], MASK
            done = at = end
        elif end - start > _LONGEST_LOOKED_INTO:
            at = end
    return "".join(pieces) + text[done:] if pieces else text


def _value_of(named: re.Match[str], text: str) -> tuple[int, int] | None:
    """Return where the value begins and ends, without its quotes; None if there is none."""
    if named["next"] and not named["name"].startswith("-"):
        return None
    if named["tag"] and text[named.start() - 1 : named.start()] != "<":
        return None
    is_tight = named["colon"] == ":"
    if is_tight and not _TIGHT.fullmatch(named["name"].lstrip("-")):
        return None
    array = _LIST.match(text, named.end())
    if array is not None:
        return array.start() + 1, array.end()
    if text[named.end() : named.end() + 1] in ("{", "["):
        braced = _BRACED.match(text, named.end()) if named["assigned"] == "=" else None
        return None if braced is None else braced.span(1)
    value = _VALUE.match(text, named.end())
    if value is None or value.lastgroup is None:
        return None
    start, end = value.span(value.lastgroup)
    if named["encoded"]:
        closing = _ENCODED_END.search(text, start, end)
        return start, end if closing is None else closing.start()
    opening = text[named.start() - 1 : named.start()]
    if value.lastgroup in ("double", "single") and opening == value[0][0] and named["colon"]:
        # This quote does not open a value, but closes the text that contains the name.
        return None
    if value.lastgroup == "plain":
        if is_tight and text[start] == "/":
            return None
        if text[start:end].lower() in ("password(", "old_password("):
            # SQL's function, whose argument has already been masked.
            return None
        if opening and opening in "\"'" and named["assigned"] and named["assigned"][0] not in "\\\"'":
            # The whole word is quoted, so blanks are part of the value.
            behind = text.find(opening, end)
            end = end if behind < 0 else behind
        if named["quoted"]:
            # A number in JSON ends before these characters.
            end = start + len(text[start:end].rstrip("}],"))
        elif text[start:end].endswith("\\"):
            end -= 1
    return start, end


def mask_in_text(text: str, found: list[str]) -> str:
    """Mask everything that looks like a secret in a text, and add it to ``found``.

    Args:
        text: Any string, lone surrogates included.
        found: Takes the secrets.
    """
    lower = text.lower()
    if len(text.split(None, 1)) > 1:
        text = mask_commands(text, found)
        text = mask_input(text, found)
    if "@" in text:
        text = substitute(IN_USERINFO, text, found)
    if "/" in text and any(part in lower for part in _ADDRESSED):
        text = substitute(IN_ADDRESS, text, found)
    if _HINT.search(lower):
        if any(part in lower for part in _HEADED):
            text = substitute(IN_HEADER, text, found)
        if "value" in lower or "<key>" in lower or "<entry" in lower:
            text = mask_markup(text, found)
        text = mask_named(mask_calls(text, lower, found), found)
    return substitute(TOKENS, text, found) if RUN.search(text) else text
