"""Snapshots and recordings: files of one JSON object a line.

The first line is a header, then come records and losses: of a snapshot in the order of their times, of a
recording in that in which they were complete, within some seconds. A recording that ended in order has a last
line that says so. A reader takes every line on its own, so a file that was cut off,
filtered with grep or damaged still gives what is left of it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, NoReturn

from execwhy.bpf.events.record import Event, ExecFailure, Loss
from execwhy.bpf.events.source import Counters, Origin
from execwhy.tui.model.files import record_csv
from execwhy.tui.model.files.json_values import (
    RecordError,
    boolean,
    integer,
    optional,
    rfc3339,
    text,
    timestamp,
)
from execwhy.tui.model.files.record_json import record_from_json, record_to_json
from execwhy.tui.model.files.safe_file import Existing, SnapshotError, replacing
from execwhy.tui.model.text.printable import printable

__all__ = [
    "FORMAT_VERSION",
    "MAX_LINE_BYTES",
    "UNREADABLE",
    "Ending",
    "Existing",
    "Header",
    "SnapshotError",
    "UnknownVersion",
    "default_name",
    "ending_line",
    "event_line",
    "header_line",
    "parse_line",
    "record_from_json",
    "record_to_json",
    "write",
    "write_text",
]

FORMAT_VERSION: Final = 1
"""The first line's "execwhy"; it changes when an older program would misread the file."""

MAX_LINE_BYTES: Final = 16 << 20
"""A longer line is none of ours: argv and envp are at most some hundred kilobytes, six for one escaped."""

UNREADABLE: Final = "unreadable lines"
"""The reason of a ``Loss`` that stands for lines of a file that could not be read: it counts lines."""

_count: Final = integer(0, (1 << 63) - 1)


class UnknownVersion(SnapshotError):
    """The file was written by another version, and this one would misread it."""


@dataclass(frozen=True, slots=True)
class Header:
    """The first line of a file.

    Attributes:
        origin: Where and how the events were captured.
        query: The filter that selected them; "" for all.
        counters: The counters when the file was begun.
        written: When it was begun: nanoseconds since 1970 UTC.
        version: Version of the format.
        recording: More lines follow as execs fail, and an ``Ending`` when that ends.
        evicted: Of a snapshot, how many events had been dropped from memory before; None in a recording.
    """

    origin: Origin
    query: str
    counters: Counters
    written: int
    version: int = FORMAT_VERSION
    recording: bool = False
    evicted: int | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """The last line of a recording that ended in order.

    Attributes:
        timestamp: When it ended: nanoseconds since 1970 UTC.
        counters: The counters then.
        written: Failed execs that the file holds; None in a file of an older version.
        left_out: Those that it should hold and does not, by the name of what was in the way.
    """

    timestamp: int
    counters: Counters
    written: int | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)


def json_text(value: object) -> str:
    """JSON in ASCII without blanks, as all lines are written."""
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"))


def _line(obj: Mapping[str, object]) -> str:
    return json_text(obj) + "\n"


def _counters_to_json(counters: Counters) -> dict[str, object]:
    return {
        "seen": counters.seen,
        "recorded": counters.recorded,
        "suppressed": counters.suppressed,
        "lost": counters.lost,
        "losses": dict(counters.losses),
        "untold": counters.untold,
        "untracked": counters.untracked,
        "incomplete": dict(counters.incomplete),
    }


def header_line(header: Header) -> str:
    """The header as the first line of a file, with its newline."""
    evicted = {} if header.evicted is None else {"evicted": header.evicted}
    return _line(
        {
            "execwhy": header.version,
            "timestamp": rfc3339(header.written),
            "host": header.origin.host,
            "kernel": header.origin.kernel,
            "boot_time": rfc3339(header.origin.boot_time),
            "plan": header.origin.plan,
            "filter": header.query,
            "recording": header.recording,
            "counters": _counters_to_json(header.counters),
        }
        | evicted
    )


def event_line(event: Event, *, show_secrets: bool) -> str:
    """A record or a loss as a line, with its newline."""
    if isinstance(event, Loss):
        where = {} if event.host is None else {"host": event.host}
        told = {"lost": event.count, "timestamp": rfc3339(event.timestamp), "reason": event.reason}
        return _line(told | where)
    return _line(record_to_json(event, show_secrets=show_secrets))


def ending_line(ending: Ending) -> str:
    """The line that ends a recording, with its newline."""
    # As in every line: who reads it as a log finds the time by that name.
    ended = rfc3339(ending.timestamp)
    account = {} if ending.written is None else {"written": ending.written, "left_out": dict(ending.left_out)}
    return _line(
        {"ended": ended, "timestamp": ended} | account | {"counters": _counters_to_json(ending.counters)}
    )


def _counters(value: object) -> Counters:
    if not isinstance(value, dict):
        raise RecordError('"counters" is not an object')
    names = ("seen", "recorded", "suppressed", "lost")
    seen, recorded, suppressed, lost = (_count(name, value.get(name)) for name in names)
    if seen != recorded + suppressed + lost:
        raise RecordError('"counters" do not add up: seen is not recorded + suppressed + lost')
    return Counters(
        seen=seen,
        recorded=recorded,
        suppressed=suppressed,
        lost=lost,
        losses=_by_name("losses", value),
        untold=_count("untold", value.get("untold", 0)),
        untracked=_count("untracked", value.get("untracked", 0)),
        incomplete=_by_name("incomplete", value),
    )


def _by_name(member: str, value: Mapping[str, object]) -> dict[str, int]:
    counts = value.get(member, {})
    if not isinstance(counts, dict):
        raise RecordError(f'"{member}" is not an object')
    return {text(member, name): _count(member, number) for name, number in counts.items()}


def _header(obj: Mapping[str, object]) -> Header:
    version = _count("execwhy", obj["execwhy"])
    if version != FORMAT_VERSION:
        raise UnknownVersion(
            f"its format is version {version} and this execwhy reads {FORMAT_VERSION}: update execwhy"
        )
    return Header(
        origin=Origin(
            host=text("host", obj.get("host")),
            kernel=text("kernel", obj.get("kernel")),
            boot_time=timestamp("boot_time", obj.get("boot_time")),
            plan=optional(text)("plan", obj.get("plan")),
        ),
        query=text("filter", obj.get("filter", "")),
        counters=_counters(obj.get("counters")),
        written=timestamp("timestamp", obj.get("timestamp", obj.get("boot_time"))),
        version=version,
        recording=boolean("recording", obj.get("recording", False)),
        evicted=optional(_count)("evicted", obj.get("evicted")),
    )


def _not_json(constant: str) -> NoReturn:
    raise RecordError(f"{constant} is no JSON")


def parse_line(line: bytes | str) -> Header | Event | Ending:
    """What a line of a file says.

    Args:
        line: The line, with or without its newline; at most ``MAX_LINE_BYTES``.

    Raises:
        UnknownVersion: It is the header of another version's file.
        SnapshotError: It is none of ours; the message is a clause such as ``"pid" is not a whole number``,
            to which the caller adds the file and the line's number.
    """
    if len(line) > MAX_LINE_BYTES:
        raise SnapshotError(f"it is longer than {MAX_LINE_BYTES >> 20} MiB")
    try:
        obj = json.loads(line, parse_constant=_not_json)
        if not isinstance(obj, dict):
            raise RecordError("it is no JSON object")
        if "execwhy" in obj:
            return _header(obj)
        if "ended" in obj:
            return Ending(
                timestamp("ended", obj["ended"]),
                _counters(obj.get("counters")),
                optional(_count)("written", obj.get("written")),
                _by_name("left_out", obj),
            )
        if "lost" in obj:
            return Loss(
                timestamp=timestamp("timestamp", obj.get("timestamp")),
                count=_count("lost", obj["lost"]),
                reason=text("reason", obj.get("reason")),
                host=optional(text)("host", obj.get("host")),
            )
        return record_from_json(obj)
    except RecordError as error:
        raise SnapshotError(str(error)) from None
    except RecursionError:
        raise SnapshotError("it is nested too deeply") from None
    except (ValueError, MemoryError):
        raise SnapshotError("it is no JSON") from None


def default_name(host: str, now: int) -> str:
    """The name that is offered for a snapshot: "execwhy-web-1-20261124-215012.jsonl".

    Args:
        host: Host name.
        now: Nanoseconds since 1970 UTC; the name tells the local time.
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
    """Write a snapshot: CSV where the name ends in ".csv", JSON Lines under every other name.

    Args:
        path: Where it shall be.
        events: What it shall hold, in time order.
        header: Its first line; CSV has none.
        show_secrets: Secret-looking values are written as they are.
        overwrite: A regular file of that name may be replaced.

    Returns:
        How many failed execs were written (losses are not counted).

    Raises:
        Existing: There is a file of that name, and ``overwrite`` is False.
        SnapshotError: It cannot be written there.
    """
    written = 0

    def counted() -> Iterator[Event]:
        nonlocal written
        for event in events:
            written += isinstance(event, ExecFailure)
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
    """Write a text under the same rules as a snapshot.

    Args:
        path: Where it shall be.
        content: Text without lone surrogates.
        overwrite: A regular file of that name may be replaced.

    Raises:
        Existing: There is a file of that name, and ``overwrite`` is False.
        SnapshotError: It cannot be written there.
    """
    with replacing(path, overwrite=overwrite) as file:
        file.write(content.encode("utf-8"))
