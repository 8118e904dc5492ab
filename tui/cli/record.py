"""``--record``: write events to a file or to standard output, without a screen."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from execwhy.bpf.priority import SESSION
from execwhy.tui.cli.capturing import counted_source, kernel_source, require_root
from execwhy.tui.cli.complaints import FAILURE, CommandError, complain, report, say
from execwhy.tui.cli.signals import ending_on_signals
from execwhy.tui.model.files.safe_file import SnapshotError
from execwhy.tui.model.text.printable import printable
from execwhy.tui.recording.files.bounds import Bounds
from execwhy.tui.recording.files.output import CLOSED, STDOUT, open_output
from execwhy.tui.recording.files.rotation import Rotation
from execwhy.tui.recording.recorder import Recording
from execwhy.tui.recording.result import Limits, Result, beginning, summary
from execwhy.tui.why.lookers.dispatcher import Lookers

if TYPE_CHECKING:
    from execwhy.bpf.events.source import Origin
    from execwhy.tui.model.query import Query


def record(options: Namespace, query: Query, closed: frozenset[int]) -> int:
    """Record until a limit, a signal or a failure ends it; return the exit status."""
    require_root()
    if options.record == "-" and STDOUT in closed:
        raise CommandError(CLOSED)
    source, spawner = kernel_source(options)
    counted = counted_source(source, options.metrics)
    try:
        rotation = None if options.keep is None else Rotation(options.record, options.keep)
        output = open_output(options.record) if rotation is None else rotation.open_next()
    except SnapshotError as error:
        source.close()
        raise CommandError(str(error)) from None
    notices: list[str] = []

    def notice(sentence: str) -> None:
        notices.append(sentence)
        say(f"execwhy: {printable(sentence)}")

    def announce(origin: Origin) -> None:
        # On standard output the header announces it: a message could spoil the screen of its reader.
        if options.record != "-":
            say(beginning(origin, output.name, at_terminal=os.isatty(2)))

    recording = Recording(
        counted or source,
        output,
        selection=query,
        query=query.text,
        lookers=Lookers(spawner),
        show_secrets=options.show_secrets,
        limits=Limits(options.duration, options.count),
        bounds=Bounds(options.max_bytes, rotation.open_next if rotation else None, options.keep or 1),
        on_notice=notice,
        on_begin=announce,
        on_cause=counted.count_cause if counted is not None else lambda _diagnosis, _count: None,
    )

    def stop() -> None:
        recording.stop()
        # A second signal ends the program at once.
        SESSION.step_back()

    with ending_on_signals(stop):
        result = recording.run()
        # Still inside: a signal that arrives now must not change the exit status.
        return conclude(result, options.record, "" if counted is None else counted.problem, notices)


def conclude(result: Result, path: str, problem: str, notices: Sequence[str] = ()) -> int:
    """Report how a recording ended and return the exit status.

    A problem that a notice has already reported is not repeated.
    """
    if problem:
        result = replace(result, problem=result.problem or problem)
    if result.fault is not None:
        report(result.fault)
    if result.problem and not any(result.problem in notice for notice in notices):
        complain(result.problem, FAILURE)
    if result.began:
        say(summary(result, path))
    elif not result.problem and result.fault is None:
        complain("nothing was recorded, it ended before the hooks were attached: let it run longer.", 0)
    return FAILURE if result.problem or result.fault is not None else 0
