"""All facts of one event, in the order in which one asks for them: why, which file, who, where, with what.

Texts of a fact are raw: the pane makes them printable. Labels and notes are the program's own words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

import humanize

from execwhy.bpf.events.kinds import EXEC, FAILURES, by_kind
from execwhy.bpf.events.record import ExecFailure, Search, error_name
from execwhy.tui.model.history.repeats import Repeats
from execwhy.tui.model.text.counted import counted
from execwhy.tui.widgets.detail.fact import Fact, Section, at_time
from execwhy.tui.widgets.detail.file_facts import file
from execwhy.tui.widgets.detail.process_facts import process, where
from execwhy.tui.widgets.events import search_words
from execwhy.tui.widgets.events.columns import LOOKING
from execwhy.tui.widgets.painting.error_class import error_class, own_words

UNREAD: Final = "unread"
"""Stands for an element of argv or envp that could not be read."""

NOTHING_FOUND: Final[Mapping[str, str]] = MappingProxyType({})

_FLAGS: Final = {0x100: "AT_SYMLINK_NOFOLLOW", 0x1000: "AT_EMPTY_PATH", 0x10000: "AT_EXECVE_CHECK"}
"""Of execveat(2); include/uapi/linux/fcntl.h."""


def sections(
    record: ExecFailure,
    shown: ExecFailure,
    *,
    looking: bool,
    repeats: Repeats | None = None,
    findings: Mapping[str, str] = NOTHING_FOUND,
) -> list[Section]:
    """The facts of a failed exec.

    Args:
        record: The record as it was captured.
        shown: The same with its secrets masked, or the very same where they are to be shown.
        looking: The diagnosis is still to come.
        repeats: The failures that share its row.
        findings: Of a whole search, why each try failed, in brief, by the path as it was captured.
    """
    lay_out = _LAYOUTS[record.kind]
    laid_out = lay_out(record, shown, looking, repeats, findings)
    if shown is record:
        return laid_out
    # What is masked cannot be made a filter: the filter would show it, or match nothing.
    return [
        replace(
            section,
            facts=tuple(
                fact if (fact.text, fact.value) == (own.text, own.value) else replace(fact, field=None)
                for fact, own in zip(section.facts, unmasked.facts, strict=True)
            ),
        )
        for section, unmasked in zip(
            laid_out, lay_out(record, record, looking, repeats, findings), strict=True
        )
    ]


def _of_exec(
    record: ExecFailure,
    shown: ExecFailure,
    looking: bool,
    repeats: Repeats | None,
    findings: Mapping[str, str],
) -> list[Section]:
    found = [
        Section("Why", (*_why(shown, looking), *_again(record, repeats))),
        Section("Binary", file(record, shown)),
        Section("Process", process(shown)),
        _elements("Arguments", "arg", shown),
        _elements("Environment", "env", shown),
        Section("Where", where(shown)),
        Section("Call", _call(shown)),
    ]
    if shown.interpreter_path is not None:
        path = shown.interpreter_path
        found.insert(2, Section("Interpreter", (Fact(path, field="interpreter_path", value=path),)))
    if record.search is not None and shown.search is not None:
        found.insert(1, Section("Search", _search(record.search, shown.search, findings)))
    return found


_LAYOUTS: Final[Mapping[str, Callable[..., list[Section]]]] = by_kind({EXEC: _of_exec}, FAILURES)
"""The sections of a failure, by its kind."""


def _again(record: ExecFailure, repeats: Repeats | None) -> tuple[Fact, ...]:
    """How often the same came within the minute, this one included."""
    if repeats is None or repeats.times < 2:
        return ()
    span = timedelta(microseconds=max(0, repeats.last - record.timestamp) // 1000)
    last = datetime.fromtimestamp(repeats.last // 1_000_000_000)
    return (
        Fact(
            f"{repeats.times:,} times",
            role="strong",
            note=f"the same within {humanize.naturaldelta(span)}; r shows each",
            starts_line=True,
        ),
        Fact(f"{last:%H:%M:%S}", label="last at"),
    )


def _search(record: Search, search: Search, findings: Mapping[str, str]) -> tuple[Fact, ...]:
    """The tries, one a line, as they were made, each with what was found out about it."""
    if search.outcome == "found":
        path = search.found_path
        outcome = Fact(path or "", label="found", field="search.found_path", value=path)
    else:
        outcome = Fact(search_words.end(search))
    facts = [
        Fact(search.name, field="search.name", value=search.name),
        outcome,
        Fact(f"{search.tries:,}", label="tries"),
    ]
    for captured, attempt in zip(record.attempts, search.attempts, strict=True):
        error = error_name(attempt.return_value)
        facts.append(Fact(error, role=error_class(attempt.return_value), starts_line=True))
        facts.append(Fact(attempt.path, field="path", value=attempt.path))
        if captured.path in findings:
            facts.append(Fact(findings[captured.path], role="muted"))
    more = search.tries - len(search.attempts)
    if search.attempts and more > 0:
        facts.append(Fact(counted(more, "more try", "more tries"), starts_line=True, role="muted"))
    return tuple(facts)


def _why(shown: ExecFailure, looking: bool) -> tuple[Fact, ...]:
    facts = [
        Fact(shown.error, role=error_class(shown.return_value), field="error", value=shown.error),
        Fact(own_words(shown)),
    ]
    if shown.killed_by is not None:
        facts.append(
            Fact(shown.killed_by, label="killed by", note="after the point of no return", role="danger")
        )
    diagnosis = shown.diagnosis
    if diagnosis is None:
        return (*facts, Fact(LOOKING, role="muted")) if looking else tuple(facts)
    facts.insert(0, Fact(diagnosis.summary, role="why", field="why", value=diagnosis.code))
    facts[1] = replace(facts[1], starts_line=True)
    if shown.search is not None and not shown.search.folded:
        # It is one try of many: what became of all of them comes first, and what each came to below.
        of_all = Fact(search_words.sentence(shown), role="why")
        if search_words.stopped(shown):
            facts[0] = replace(facts[0], role="plain", starts_line=True)
            facts.insert(0, of_all)
            facts.append(Fact(search_words.WENT_ON, role="muted", starts_line=True))
        elif search_words.says_more(shown):
            facts.insert(1, replace(of_all, role="plain", starts_line=True))
        else:
            facts[0] = replace(facts[0], role="plain", starts_line=True, label="Last try:")
            facts.insert(0, of_all)
    if not diagnosis.certain and not diagnosis.names_its_doubt:
        facts.append(Fact("not certain", role="notice"))
    facts += [Fact(evidence, role="muted", starts_line=True) for evidence in diagnosis.evidence]
    if diagnosis.advice is not None:
        facts.append(Fact(diagnosis.advice, label="→", role="advice", starts_line=True))
    return tuple(facts)


def _call(shown: ExecFailure) -> tuple[Fact, ...]:
    name = "the kernel itself" if shown.kernel_invoked else shown.syscall or "—"
    facts = [
        Fact(
            name,
            note="32-bit" if shown.compat else "",
            field="syscall" if shown.syscall else None,
            value=name,
        )
    ]
    if shown.dirfd is not None:
        facts.append(Fact("AT_FDCWD" if shown.dirfd == -100 else str(shown.dirfd), "dirfd"))
    if shown.flags is not None:
        known = [name for bit, name in _FLAGS.items() if shown.flags & bit]
        facts.append(Fact(f"{shown.flags:#x}", "flags", " ".join(known)))
    if shown.check_only:
        facts.append(Fact("check only", note="nothing would have been executed"))
    facts += [Fact(str(shown.return_value), "returned"), at_time(shown.timestamp)]
    return tuple(facts)


def _elements(title: str, field: str, shown: ExecFailure) -> Section:
    """Elements of argv or envp; how many there were, where some are missing."""
    if field == "arg":
        texts, total = shown.arguments, shown.truncated.argc
        cut, missing = shown.truncated.argument_indexes, shown.truncated.arguments
    else:
        texts, total = shown.environment, shown.truncated.envc
        cut, missing = shown.truncated.environment_indexes, shown.truncated.environment
    count = f"{len(texts):,}"
    if missing:
        count += f" of {'unknown' if total is None else f'{total:,}'}, truncated"
    unreadable = shown.arguments_source == "unreadable"
    source = {"kernel": "the kernel's copy", "user": "", "unreadable": "could not be read"}
    facts = [
        Fact(
            "" if unreadable and not texts else count,
            note=source[shown.arguments_source],
            role="notice" if missing or unreadable else "muted",
        )
    ]
    for index, text in enumerate(texts):
        if text is None:
            facts.append(Fact(UNREAD, role="notice"))
        else:
            note = "… cut here" if index in cut else ""
            whole = None if index in cut else field
            facts.append(Fact(text or '""', "", note, "plain" if text else "muted", whole, text))
    return Section(title, tuple(facts), is_list=True)
