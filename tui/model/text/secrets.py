"""Masking of secrets: every text leaves the program through here.

When in doubt, a value is masked: a harmless value can be shown with ``--show-secrets``, but a password that
was shown cannot be taken back. An empty value stays empty, because that is often the fact that matters.

A secret that is found in one string of a record, and is not an ordinary word, is masked in all other strings,
too (``secret_occurrences``).
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from itertools import islice
from operator import attrgetter
from sys import getsizeof
from typing import Any, Final, TypeVar

from execwhy.bpf.events.fields import RecordField, Secret, fields_of
from execwhy.bpf.events.known import Known, size_of
from execwhy.bpf.events.record import Ancestor, Attempt, Binary, Diagnosis, ExecFailure, Search
from execwhy.tui.model.text.secret_names import is_secret, is_secret_name
from execwhy.tui.model.text.secret_occurrences import RecordSecrets
from execwhy.tui.model.text.secret_texts import mask_in_text
from execwhy.tui.model.text.secret_words import MASK, CommandLine

_CACHED_LENGTH: Final = 512
"""Characters of strings to cache; longer ones are not, so that the caches stay below 8 MB."""

_ASSIGNED: Final = re.compile(r"(?P<name>-{0,2}[\w.-]{1,256})=")
_OPTION: Final = re.compile(r"--?[A-Za-z][\w.-]{1,255}")

_TUPLE_BYTES: Final = 120

Mask = Callable[[str], str]
Part = TypeVar("Part", Binary, Diagnosis, Search, Attempt)

Shown = tuple[str, tuple[str, ...]]
"""A text with its secrets masked, and the secrets."""


def _mask_text(text: str) -> Shown:
    found: list[str] = []
    return mask_in_text(text, found), tuple(found)


def _mask_variable(text: str) -> Shown:
    """Mask NAME=value or --name=value: the whole value if the name is that of a secret, else its parts."""
    assigned = _ASSIGNED.match(text)
    if assigned and is_secret(assigned["name"], value := text[assigned.end() :]):
        return assigned[0] + MASK, (value,)
    return _mask_text(text)


def _weigh(text: str) -> int:
    """Return the bytes of a cached text, its masked form and a tuple."""
    return 2 * getsizeof(text) + _TUPLE_BYTES


_known_texts: Final = Known(_mask_text, 1 << 20, _weigh)
_known_variables: Final = Known(_mask_variable, 2 << 20, _weigh)


def _text(text: str) -> Shown:
    return _known_texts[text] if len(text) <= _CACHED_LENGTH else _mask_text(text)


def _variable(text: str) -> Shown:
    return _known_variables[text] if len(text) <= _CACHED_LENGTH else _mask_variable(text)


def mask_text(text: str) -> str:
    """Mask what looks like a secret in a text that belongs to no record.

    Args:
        text: Any string, lone surrogates included.
    """
    return _text(text)[0]


def mask_environment(environment: Sequence[str | None]) -> tuple[str | None, ...]:
    """Mask the secret values in envp; names, empty values and unreadable elements are kept.

    Args:
        environment: Elements "NAME=value"; None for one that could not be read.
    """
    return _environment(environment, [])


def mask_arguments(arguments: Sequence[str | None]) -> tuple[str | None, ...]:
    """Mask the secret values in argv, in the element of their option or in the next one.

    Args:
        arguments: The elements; None for one that could not be read.
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
"""The execs of one process mostly have the same environment."""


def _looks_like_option(text: str) -> bool:
    """Return whether a text is an option such as -v or --verbose; -hunter2 may be a password."""
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


def _diagnosis(diagnosis: Diagnosis, mask: Mask) -> Diagnosis:
    advice = None if diagnosis.advice is None else _advice(diagnosis.advice, mask)
    return dataclasses.replace(_of_part(diagnosis, mask), advice=advice)


def _advice(advice: str, mask: Callable[[str], str]) -> str | None:
    """Mask advice; return None if that changes a command, because the mask is a pattern to a shell."""
    shown = mask(advice)
    return None if shown != advice and "`" in advice else shown


def _optional(text: str | None, mask: Callable[[str], str]) -> str | None:
    return None if text is None else mask(text)


def _hider(field: RecordField) -> Callable[[Any, Mask], Any]:
    """Return the function that masks a field's value, given the function that masks a text."""
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
    """Return a part of a record in which texts that may hold a secret are masked."""
    hidden = {name: hide(getattr(part, name), mask) for name, hide in _HIDERS[type(part)]}
    return dataclasses.replace(part, **hidden)


_TEXTS: Final = tuple(
    name
    for name, field in fields_of(ExecFailure).items()
    if field.fact.secret is not Secret.NEVER and field.type is str
)
"""The fields that hold one text, which may be a secret."""

_texts_of: Final = attrgetter(*_TEXTS)

_BY_ITSELF: Final = tuple(map(_TEXTS.index, ("path", "interpreter_path", "cwd")))
"""Those that are shown in full: an ordinary word in one of them, or in the file's path, is not a secret."""


def masked(record: ExecFailure) -> ExecFailure:
    """Return the record as it may be shown and saved without ``--show-secrets``."""
    return _masked(record)[0]


def masker(record: ExecFailure | None) -> Callable[[str], str]:
    """Return the function that masks texts made from a record's strings, such as those of its group.

    Args:
        record: The record; None if it is gone: then only text with the shape of a secret is masked.
    """
    secrets = None if record is None else _masked(record)[1]
    return mask_text if secrets is None else _sentence_masker(secrets)


def _sentence_masker(secrets: RecordSecrets) -> Mask:
    return lambda text: mask_text(secrets.in_sentence(text))


def _masked(record: ExecFailure) -> tuple[ExecFailure, RecordSecrets | None]:
    secrets: RecordSecrets | None = None
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
        secrets = RecordSecrets(found, (*by_itself, None if binary is None else binary.path))
        hidden = iter(secrets.in_strings((*texts, *comms, *arguments, *environment)))
        texts, comms = list(islice(hidden, len(texts))), list(islice(hidden, len(comms)))
        arguments = tuple(islice(hidden, len(arguments)))
        environment = tuple(hidden)
        binary = None if binary is None else _of_part(binary, secrets.in_string)
        search = None if search is None else _of_part(search, secrets.in_string)
        diagnosis = None if diagnosis is None else _diagnosis(diagnosis, _sentence_masker(secrets))
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
