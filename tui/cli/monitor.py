"""The live screen, and the same screen for recordings (``--open``)."""

from __future__ import annotations

import os
from argparse import Namespace
from typing import TYPE_CHECKING, Final

from execwhy.bpf.events.source import Stage
from execwhy.tui.cli.capturing import counted_source, give_up_privileges, kernel_source, require_root
from execwhy.tui.cli.complaints import CommandError, complain
from execwhy.tui.cli.inputs import WITHOUT_SCREEN, data_descriptor, require_distinct, require_readable

if TYPE_CHECKING:
    from execwhy.bpf.events.source import EventSource
    from execwhy.tui.model.query import Query
    from execwhy.tui.recording.instrumented import InstrumentedSource
    from execwhy.tui.why.lookers.spawner import Spawner

_FIRST_LINE: Final = 0.3
"""Seconds to wait for a file's first line before the screen opens; only a pipe may need them."""


def monitor(options: Namespace, query: Query, closed: frozenset[int]) -> int:
    """Show the screen until it is left; return the exit status."""
    source: EventSource
    spawner: Spawner | None = None
    counted: InstrumentedSource | None = None
    if options.open is None:
        require_root()
        require_terminal("use --record - without a screen")
        live, spawner = kernel_source(options)
        source = live
        counted = counted_source(live, options.metrics)
    else:
        source = _opened_files(options, closed)
    from execwhy.tui.model.history.resident import BESIDE, ELSEWHERE, Resident
    from execwhy.tui.terminal import terminal

    terminal.forget_claimed_size()
    from execwhy.tui.model.history.store import DEFAULT_MAX_BYTES, DEFAULT_MAX_EVENTS, History
    from execwhy.tui.screen.app import ExecwhyApp
    from execwhy.tui.why.lookers.dispatcher import Lookers

    # A file's records were diagnosed where they were captured: a look here and now would find other facts.
    lookers = None if spawner is None else Lookers(spawner)
    memory = Resident(beside=BESIDE - ELSEWHERE if lookers else BESIDE)
    app = ExecwhyApp(
        counted or source,
        query=query.text,
        history=History(
            options.history or DEFAULT_MAX_EVENTS, options.history_bytes or DEFAULT_MAX_BYTES, memory
        ),
        show_secrets=options.show_secrets,
        lookers=lookers,
        capture=options.capture or "",
        theme=options.theme,
        on_cause=None if counted is None else counted.count_cause,
        greets=True,
    )
    status = terminal.run(app, mouse=not options.no_mouse)
    if counted is not None:
        counted.abandon()
    return complain(app.failure, status) if app.failure else status


def _opened_files(options: Namespace, closed: frozenset[int]) -> EventSource:
    """Return the source for the files of ``--open``, of which at least one can be read."""
    from execwhy.bpf.privileges import FOR_READING_A_FILE
    from execwhy.tui.model.files.replay.merging import opened

    for path in options.open:
        if path != "-":
            require_readable(path)
    require_distinct(options.open)
    descriptor = data_descriptor(closed) if "-" in options.open else 0
    if os.geteuid() == 0:
        give_up_privileges(FOR_READING_A_FILE)
    source = opened(options.open, standard_input=descriptor)
    source.begin(_FIRST_LINE)
    try:
        if (status := source.status()).stage is Stage.FAILED:
            raise CommandError(status.detail)
        require_terminal(WITHOUT_SCREEN)
    except CommandError:
        source.close()
        raise
    return source


def require_terminal(instead: str) -> None:
    """Refuse a terminal on which Textual, which reads standard input and draws on standard error, would fail.

    Args:
        instead: What else the user can do, as the end of a sentence.

    Raises:
        CommandError: There is no terminal, or it cannot position a cursor.
    """
    if not (os.isatty(0) and os.isatty(2)):
        raise CommandError(f"the screen needs a terminal: run execwhy in one, or {instead}.")
    if os.environ.get("TERM", "dumb") in ("dumb", ""):
        problem = "this terminal cannot show a screen (TERM is dumb or empty)"
        raise CommandError(f"{problem}: set TERM, or {instead}.")
