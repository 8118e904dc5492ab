"""Snapshots: what the filter shows, written as JSON Lines or CSV."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from execwhy.bpf.events.arrivals import Event
from execwhy.tui.model.files import record_csv
from execwhy.tui.model.files.json_lines import Header, event_line, header_line
from execwhy.tui.model.files.safe_file import replacing
from execwhy.tui.model.text.printable import printable


def default_name(host: str, now: int) -> str:
    """Return the name to offer for a snapshot, such as "execwhy-web-1-20261124-215012.jsonl".

    Args:
        host: Host name.
        now: Nanoseconds since 1970 UTC; the name has the local time.
    """
    safe = "".join(character if character.isalnum() or character in "-_" else "-" for character in host)
    local = datetime.fromtimestamp(now // 1_000_000_000, UTC).astimezone()
    return f"execwhy-{printable(safe)[:64]}-{local:%Y%m%d-%H%M%S}.jsonl"


def _lines(events: Iterable[Event], header: Header, *, show_secrets: bool) -> Iterator[str]:
    yield header_line(header)
    for event in events:
        yield event_line(event, show_secrets=show_secrets)


def write(
    path: str, events: Iterable[Event], header: Header, *, show_secrets: bool, overwrite: bool = False
) -> int:
    """Write a snapshot: CSV if the name ends in ".csv", else JSON Lines.

    Args:
        path: The file to write.
        events: The events to write, in time order.
        header: The first line; CSV has none.
        show_secrets: Whether to write values that look like secrets unmasked.
        overwrite: Whether a regular file of that name may be replaced.

    Returns:
        The number of failed execs written, without losses.

    Raises:
        Existing: A file of that name exists, and ``overwrite`` is False.
        SnapshotError: The file cannot be written.
    """
    written = 0

    def counted() -> Iterator[Event]:
        nonlocal written
        for event in events:
            written += event.failure is not None
            yield event

    is_csv = os.path.splitext(path)[1].lower() == ".csv"
    lines = (
        record_csv.lines(counted(), show_secrets=show_secrets)
        if is_csv
        else _lines(counted(), header, show_secrets=show_secrets)
    )
    with replacing(path, overwrite=overwrite) as file:
        for line in lines:
            file.write(line.encode("utf-8"))
    return written


def write_text(path: str, content: str, overwrite: bool = False) -> None:
    """Write a text file under the same rules as a snapshot.

    Args:
        path: The file to write.
        content: Text without lone surrogates.
        overwrite: Whether a regular file of that name may be replaced.

    Raises:
        Existing: A file of that name exists, and ``overwrite`` is False.
        SnapshotError: The file cannot be written.
    """
    with replacing(path, overwrite=overwrite) as file:
        file.write(content.encode("utf-8"))
