"""The one way out for texts: what of a record looks like a secret, and its masking.

It errs on the side of masking: a masked harmless value costs a look with ``--show-secrets``, a shown
password cannot be taken back. An empty value stays empty, for that is often the very fact one needs.

A secret that one string of a record gave away, and that is no ordinary word, is masked in all the others as
well: a diagnosis quotes an argument without the option before it, and a path may repeat a variable.
"""

from __future__ import annotations

import dataclasses
import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, islice
from operator import attrgetter
from sys import getsizeof
from typing import Any, Final, TypeVar

from execwhy.bpf.events.fields import RecordField, Secret, fields_of
from execwhy.bpf.events.known import Known, size_of
from execwhy.bpf.events.record import Ancestor, Attempt, Binary, Diagnosis, ExecFailure, Search
from execwhy.tui.model.text.printable import printable
from execwhy.tui.model.text.secret_names import is_secret, is_secret_name
from execwhy.tui.model.text.secret_texts import mask_in_text
from execwhy.tui.model.text.secret_words import MASK, CommandLine

_CACHED_LENGTH: Final = 512
"""Longer strings are masked anew each time, so that the caches stay below 8 MB."""

_ASSIGNED: Final = re.compile(r"(?P<name>-{0,2}[\w.-]{1,256})=")
_OPTION: Final = re.compile(r"--?[A-Za-z][\w.-]{1,255}")

_SHORTEST: Final = 4
"""Characters of a secret that is masked wherever it stands; shorter ones are part of other words."""

_UNMISTAKABLE: Final = re.compile(r"(?=.*[0-9])(?=.*[A-Za-z]).{6,}|(?=.*[^\w/. -]).{6,}|.{16,}", re.DOTALL)
"""Secrets that are no word: they are masked in the record's own strings, and not just in sentences."""

_TUPLE_BYTES: Final = 120

Mask = Callable[[str], str]
Part = TypeVar("Part", Binary, Diagnosis, Search, Attempt)

Shown = tuple[str, tuple[str, ...]]
"""A text with its secrets masked, and what these were."""


def _mask_text(text: str) -> Shown:
    found: list[str] = []
    return mask_in_text(text, found), tuple(found)


def _mask_variable(text: str) -> Shown:
    """NAME=value or --name=value, masked whole where the name is a secret's, else its parts."""
    assigned = _ASSIGNED.match(text)
    if assigned and is_secret(assigned["name"], value := text[assigned.end() :]):
        return assigned[0] + MASK, (value,)
    return _mask_text(text)


def _weigh(text: str) -> int:
    """The text itself, what is shown of it, and a tuple."""
    return 2 * getsizeof(text) + _TUPLE_BYTES


_known_texts: Final = Known(_mask_text, 1 << 20, _weigh)
_known_variables: Final = Known(_mask_variable, 2 << 20, _weigh)


def _text(text: str) -> Shown:
    return _known_texts[text] if len(text) <= _CACHED_LENGTH else _mask_text(text)


def _variable(text: str) -> Shown:
    return _known_variables[text] if len(text) <= _CACHED_LENGTH else _mask_variable(text)


def mask_text(text: str) -> str:
    """A text that belongs to no record, with all that looks like a secret masked.

    Args:
        text: Any string, lone surrogates included.
    """
    return _text(text)[0]


def mask_environment(environment: Sequence[str | None]) -> tuple[str | None, ...]:
    """Envp with the secret values masked; names, empty values and unreadable elements stay.

    Args:
        environment: "NAME=value" each, None where the element could not be read.
    """
    return _environment(environment, [])


def mask_arguments(arguments: Sequence[str | None]) -> tuple[str | None, ...]:
    """Argv with the secret values masked, in their own element or in the one after their option.

    Args:
        arguments: The elements, None where one could not be read.
    """
    return _arguments(arguments, [])


def _environment(environment: Sequence[str | None], found: list[str]) -> tuple[str | None, ...]:
    shown, secrets = _known_environments[tuple(environment)]
    found += secrets
    return shown


def _mask_environment(environment: tuple[str | None, ...]) -> tuple[tuple[str | None, ...], tuple[str, ...]]:
    masked: list[str | None] = []
    found: list[str] = []
    for variable in environment:
        if variable is None:
            masked.append(None)
            continue
        shown, secrets = _variable(variable)
        masked.append(shown)
        found += secrets
    return tuple(masked), tuple(found)


_known_environments: Final = Known(_mask_environment, 2 << 20, lambda environment: 2 * size_of(environment))
"""What one process tries mostly has one environment."""


def _looks_like_option(text: str) -> bool:
    """-v and --verbose do; -hunter2 may be a password, and then must not be shown."""
    return text.startswith("--") or (text.startswith("-") and len(text) <= 2)


def _arguments(arguments: Sequence[str | None], found: list[str]) -> tuple[str | None, ...]:
    line = CommandLine(found)
    masked: list[str | None] = []
    option = ""
    for text in arguments:
        before, option = option, ""
        if not text:
            masked.append(text)
        elif before and not _looks_like_option(text) and is_secret(before, text):
            found.append(text)
            masked.append(MASK)
        elif (word := line.masked(text)) is not None:
            masked.append(word)
        elif _OPTION.fullmatch(text) and is_secret_name(text):
            option = text
            masked.append(text)
        else:
            shown, secrets = _variable(text)
            found += secrets
            masked.append(shown)
    return tuple(masked)


class _Secrets:
    """The secrets of one record, to be masked wherever they stand."""

    def __init__(self, found: Iterable[str], shown: Sequence[str | None]) -> None:
        """Choose those that can be looked for.

        Args:
            found: The secrets.
            shown: What the record shows by itself: a word in it is no secret any more.
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
        # A sentence may quote a text as it is printed.
        self._all = tuple(dict.fromkeys([*chosen, *map(printable, chosen)]))

    def in_strings(self, texts: Sequence[str | None]) -> Sequence[str | None]:
        """All of the record's own strings: mostly none has one, and this is quick.

        A record may have hundreds of secrets and of strings: each secret is looked for in all at once.
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
        """One string that is the record's own."""
        return _replaced(text, self._clear)

    def in_sentence(self, text: str) -> str:
        """A text that was made of the record's strings."""
        return _text(_replaced(text, self._all))[0]


def _replaced(text: str, secrets: Sequence[str]) -> str:
    """Mask these secrets; without patterns, since a record may have a thousand and each would be compiled."""
    for secret in secrets:
        if secret in text:
            text = _without(text, secret)
    return text


def _without(text: str, secret: str) -> str:
    """Mask a secret, except where it is a part of a longer word."""
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
    """Whether a character is of one word with the first or last one of a secret."""
    return edge.isalnum() and beside.isascii() and beside.isalnum()


def _diagnosis(diagnosis: Diagnosis, mask: Mask) -> Diagnosis:
    advice = None if diagnosis.advice is None else _advice(diagnosis.advice, mask)
    return dataclasses.replace(_of_part(diagnosis, mask), advice=advice)


def _advice(advice: str, mask: Callable[[str], str]) -> str | None:
    """An advice, unless masking would make another command of its command: the mask is a shell's pattern."""
    shown = mask(advice)
    return None if shown != advice and "`" in advice else shown


def _optional(text: str | None, mask: Callable[[str], str]) -> str | None:
    return None if text is None else mask(text)


def _hider(field: RecordField) -> Callable[[Any, Mask], Any]:
    """Return what masks the value of a field of a part, with what masks a text."""
    if field.part is not None:
        return lambda parts, mask: tuple(_of_part(part, mask) for part in parts)
    if field.many:
        return lambda texts, mask: tuple(map(mask, texts))
    return _optional


_HIDERS: Final = {
    part: tuple(
        (name, _hider(field))
        for name, field in fields_of(part).items()
        if field.fact.secret is not Secret.NEVER
    )
    for part in (Binary, Diagnosis, Search, Attempt)
}


def _of_part(part: Part, mask: Mask) -> Part:
    """Return a part of a record with its texts masked that may hold a secret."""
    hidden = {name: hide(getattr(part, name), mask) for name, hide in _HIDERS[type(part)]}
    return dataclasses.replace(part, **hidden)


_TEXTS: Final = tuple(
    name
    for name, field in fields_of(ExecFailure).items()
    if field.fact.secret is not Secret.NEVER and field.type is str
)
"""The fields that are one text, and may hold a secret."""

_texts_of: Final = attrgetter(*_TEXTS)

_BY_ITSELF: Final = tuple(map(_TEXTS.index, ("path", "interpreter_path", "cwd")))
"""Those that are shown in full: an ordinary word in one of them, or in the path of the file, is no secret."""


def masked(record: ExecFailure) -> ExecFailure:
    """The record as it may be shown and saved without ``--show-secrets``."""
    return _masked(record)[0]


def masker(record: ExecFailure | None) -> Callable[[str], str]:
    """What masks texts that were made of this record's strings, such as a group's of which it is one.

    Args:
        record: None where it is gone: what has the shape of a secret is masked all the same.
    """
    secrets = None if record is None else _masked(record)[1]
    return mask_text if secrets is None else secrets.in_sentence


def _masked(record: ExecFailure) -> tuple[ExecFailure, _Secrets | None]:
    secrets: _Secrets | None = None
    found: list[str] = []

    def shown(text: str) -> str:
        masked_text, secrets = _text(text)
        found.extend(secrets)
        return masked_text

    texts: Sequence[str | None] = [None if text is None else shown(text) for text in _texts_of(record)]
    binary = None if record.binary is None else _of_part(record.binary, shown)
    arguments = _arguments(record.arguments, found)
    environment = _environment(record.environment, found)
    search = None if record.search is None else _of_part(record.search, shown)
    diagnosis = record.diagnosis
    comms: Sequence[str | None] = [shown(one.comm) for one in record.ancestors]
    if found:
        by_itself = [texts[index] for index in _BY_ITSELF]
        secrets = _Secrets(found, (*by_itself, None if binary is None else binary.path))
        hidden = iter(secrets.in_strings((*texts, *comms, *arguments, *environment)))
        texts, comms = list(islice(hidden, len(texts))), list(islice(hidden, len(comms)))
        arguments = tuple(islice(hidden, len(arguments)))
        environment = tuple(hidden)
        binary = None if binary is None else _of_part(binary, secrets.in_string)
        search = None if search is None else _of_part(search, secrets.in_string)
        diagnosis = None if diagnosis is None else _diagnosis(diagnosis, secrets.in_sentence)
    elif diagnosis is not None:
        diagnosis = _diagnosis(diagnosis, mask_text)
    ancestors = tuple(
        Ancestor(one.pid, comm or "") for one, comm in zip(record.ancestors, comms, strict=True)
    )
    of_texts: dict[str, Any] = dict(zip(_TEXTS, texts, strict=True))
    shown_record = dataclasses.replace(
        record,
        **of_texts,
        binary=binary,
        arguments=arguments,
        environment=environment,
        ancestors=ancestors,
        diagnosis=diagnosis,
        search=search,
    )
    return shown_record, secrets
