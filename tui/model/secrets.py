"""Which texts of a record look like secrets, and their masking.

It errs on the side of masking: a masked harmless value costs a look with ``--show-secrets``, a shown
password cannot be taken back. An empty value stays empty, for that is often the very fact one needs.
Every pattern here runs over hostile text as root, so none may take more than linear time.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from bpf.record import Binary, Diagnosis, ExecFailure, Search
from tui.model.secret_words import MASK, CommandLine, mask_commands

_CACHED_LENGTH: Final = 512
"""Longer strings are masked anew each time, so that the cache stays below 20 MB."""

_SECRET_NAME: Final = re.compile(
    r"""SECRET|TOKEN|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL|AUTHORIZATION|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY
    | _KEY$ | (?<!COM)(?<!ASK)(?<!BY)(?<!SUR)PASS$ | _PWD$ | (?:^|_|ROOT)PW$ | _AUTH$
    | COOKIE | BEARER | JWT$ | CREDS$""",
    re.VERBOSE,
)

_NO_SECRET_OPTION: Final = re.compile(
    r"^NO_ | _(?:FILE|PATH|DIR|DIRECTORY|STDIN|FD|PROMPT|COMMAND|CMD|TTL|TYPE|NAME)$", re.VERBOSE
)
"""Options that tell where a secret is or that there is none: their value is a fact worth seeing."""

_ASSIGNED: Final = re.compile(r"(?P<name>-{0,2}[\w.-]{1,256})=")
_OPTION: Final = re.compile(r"--?[A-Za-z][\w.-]{1,255}")

_VALUE: Final = r"""(?:"[^"\n]*"?|'[^'\n]*'?|[^\s"'&;|<>]+)"""

_IN_TEXT: Final = re.compile(
    r"""
    # A name, then its value: PASSWORD=x, "password": "x", token: x, --token x
    (?P<keep>
      (?:secret|token|password|passwd|passphrase|credential|api[_-]?key|access[_-]?key|private[_-]?key)
      [\w-]{0,64}["']?(?:\s{0,4}=|:\s{1,4})\s{0,4}
    | (?:[_-]key|[_-]pass|[_-]pwd|sshpass)["']?(?:=|:\s{1,4})
    | --[\w-]{0,32}?(?:secret|token|password|passwd|passphrase|api-?key)(?![\w-])\s{1,4}(?!-)
    )"""
    + _VALUE
    + r"""
    # HTTP headers: the rest of the line
  | (?P<header>
      (?:authorization["']?\s{0,4}[:=]\s{0,4}["']?(?:(?:basic|bearer|digest|token|negotiate)\s{1,4})?)
    | (?<!\w)(?:set-)?cookie:\s{0,4})[^"'\r\n]+
  | (?P<bearer>(?<!\w)bearer\s{1,4})[\w.~+/=-]{8,}
    # Openssl's password arguments
  | (?P<openssl>^pass:)[^\n]+
    # URLs: user:password@; a name alone, which over HTTP or where it is long is a token
  | (?P<url>://[^/\s:@]*:)[^/\s]+(?=@)
  | (?P<weburl>https?://)[^/\s:@?\#]+(?=@)
  | (?P<urluser>://)[^/\s:@]{20,}(?=@)
    """,
    re.VERBOSE | re.IGNORECASE,
)

_TOKEN_SHAPES: Final = re.compile(
    r"""
    gh[oprsu]_[A-Za-z0-9]{20,} | github_pat_\w{20,}
  | gl(?:pat|dt|rt|ptt|ft|soat|cbt|oas)-[\w.-]{16,}
  | xox[abceoprs]-[\w-]{10,} | xapp-[\w-]{10,}
  | (?<![A-Z0-9])(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Z0-9])
  | eyJ[\w-]{17,}(?:\.[\w-]+){0,4}
  | (?<![A-Za-z0-9])sk-[\w-]{20,} | [rs]k_(?:live|test)_[A-Za-z0-9]{16,} | whsec_[A-Za-z0-9+/=]{16,}
  | AIza[\w-]{35} | ya29\.[\w-]{20,}
  | npm_[A-Za-z0-9]{36} | pypi-AgE[\w-]{20,} | hf_[A-Za-z0-9]{30,} | dckr_pat_[\w-]{20,}
  | do[opr]_v1_[a-f0-9]{32,} | SG\.[\w-]{16,32}\.[\w-]{16,64} | hv[sb]\.[\w-]{20,}
  | shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32} | AGE-SECRET-KEY-1[A-Z0-9]{20,}
  | -----BEGIN[ ][A-Z0-9 ]{0,40}PRIVATE[ ]KEY(?:[ ]BLOCK)?-----
    (?:[^-]|-(?!----END))*(?:-----END[^-\n]{0,60}-----)?
    """,
    re.VERBOSE,
)


def _is_secret_name(name: str) -> bool:
    """Whether a variable or an option of this name holds a secret."""
    normal = name.lstrip("-").replace("-", "_").replace(".", "_").upper()
    if not _SECRET_NAME.search(normal):
        return False
    return not (name.startswith("-") and _NO_SECRET_OPTION.search(normal))


def _keep_lead(match: re.Match[str]) -> str:
    """What names the secret, then the mask."""
    return (match[match.lastgroup] if match.lastgroup else "") + MASK


def _mask_text(text: str) -> str:
    return _TOKEN_SHAPES.sub(MASK, _IN_TEXT.sub(_keep_lead, mask_commands(text)))


def _mask_assignment(text: str) -> str:
    """NAME=value or --name=value, masked whole where the name is a secret's, else its parts."""
    assigned = _ASSIGNED.match(text)
    if assigned and _is_secret_name(assigned["name"]):
        return assigned[0] + MASK if assigned.end() < len(text) else text
    return _mask_text(text)


_cached_text = lru_cache(maxsize=4096)(_mask_text)
_cached_assignment = lru_cache(maxsize=16384)(_mask_assignment)


def mask_text(text: str) -> str:
    """A text with the passwords of URLs, known token shapes, headers and ``name=value`` pairs masked.

    Args:
        text: Any string, lone surrogates included.
    """
    return _cached_text(text) if len(text) <= _CACHED_LENGTH else _mask_text(text)


def _mask_variable(text: str) -> str:
    return _cached_assignment(text) if len(text) <= _CACHED_LENGTH else _mask_assignment(text)


def mask_environment(environment: Sequence[str | None]) -> tuple[str | None, ...]:
    """Envp with the secret values masked; names, empty values and unreadable elements stay.

    Args:
        environment: "NAME=value" each, None where the element could not be read.
    """
    return tuple(None if text is None else _mask_variable(text) for text in environment)


def _looks_like_option(text: str) -> bool:
    """-v and --verbose do; -hunter2 may be a password, and then must not be shown."""
    return text.startswith("--") or (text.startswith("-") and len(text) <= 2)


def mask_arguments(arguments: Sequence[str | None]) -> tuple[str | None, ...]:
    """Argv with the secret values masked, in their own element or in the one after their option.

    Args:
        arguments: The elements, None where one could not be read.
    """
    line = CommandLine()
    masked: list[str | None] = []
    is_value = False
    for text in arguments:
        was_value, is_value = is_value, False
        if not text:
            masked.append(text)
        elif was_value and not _looks_like_option(text):
            masked.append(MASK)
        elif (word := line.masked(text)) is not None:
            masked.append(word)
        else:
            is_value = bool(_OPTION.fullmatch(text)) and _is_secret_name(text)
            masked.append(text if is_value else _mask_variable(text))
    return tuple(masked)


def _mask_diagnosis(diagnosis: Diagnosis) -> Diagnosis:
    return dataclasses.replace(
        diagnosis,
        summary=mask_text(diagnosis.summary),
        evidence=tuple(map(mask_text, diagnosis.evidence)),
        advice=None if diagnosis.advice is None else mask_text(diagnosis.advice),
        brief=mask_text(diagnosis.brief),
    )


def _mask_path(path: str | None) -> str | None:
    return None if path is None else mask_text(path)


def _mask_binary(binary: Binary) -> Binary:
    return dataclasses.replace(binary, path=_mask_path(binary.path))


def _mask_search(search: Search) -> Search:
    attempts = tuple(
        dataclasses.replace(attempt, path=mask_text(attempt.path)) for attempt in search.attempts
    )
    return dataclasses.replace(
        search, name=mask_text(search.name), found_path=_mask_path(search.found_path), attempts=attempts
    )


def masked(record: ExecFailure) -> ExecFailure:
    """The record as it may be shown and saved without ``--show-secrets``."""
    return dataclasses.replace(
        record,
        path=_mask_path(record.path),
        binary=None if record.binary is None else _mask_binary(record.binary),
        interpreter_path=_mask_path(record.interpreter_path),
        cwd=_mask_path(record.cwd),
        root=_mask_path(record.root),
        stdin_path=_mask_path(record.stdin_path),
        arguments=mask_arguments(record.arguments),
        environment=mask_environment(record.environment),
        diagnosis=None if record.diagnosis is None else _mask_diagnosis(record.diagnosis),
        search=None if record.search is None else _mask_search(record.search),
    )
