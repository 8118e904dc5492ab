"""The lines of snapshots and recordings: a JSON object each.

The first line is a header. Records and losses follow: in a snapshot in the order of their times, in a
recording in the order in which they became complete, which differs by seconds. A recording that ended in
order has an ending as its last line. Each line is read on its own, so a file that was cut off, damaged or
filtered with grep still gives what is left of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NoReturn

from execwhy.bpf.events.arrivals import Event
from execwhy.bpf.events.source import Counters, Origin
from execwhy.tui.model.files.event_json import event_from_json, event_to_json
from execwhy.tui.model.files.json_values import (
    RecordError,
    boolean,
    natural,
    optional,
    rfc3339,
    text,
    timestamp,
)
from execwhy.tui.model.files.safe_file import SnapshotError

FORMAT_VERSION: Final = 1
"""The value of "execwhy" in the header; it changes when older programs would misread the file."""

MAX_LINE_BYTES: Final = 16 << 20
"""No line of ours is longer: argv and envp take some hundred kilobytes, six times that if escaped."""

UNREADABLE: Final = "unreadable lines"
"""The reason of a ``Loss`` that counts lines of a file that could not be read."""


class UnknownVersion(SnapshotError):
    """The file was written by a version whose format this one would misread."""


@dataclass(frozen=True, slots=True)
class Header:
    """The first line of a file.

    Attributes:
        origin: Where and how the events were captured.
        query: The filter that selected them; "" for all.
        counters: The counters when the file was started.
        written: When it was started: nanoseconds since 1970 UTC.
        version: Version of the format.
        recording: Whether lines are added as execs fail, and an ``Ending`` at the end.
        evicted: Events dropped from memory before a snapshot was written; None in a recording.
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
        counters: The counters at that time.
        written: Failed execs in the file; None if an older version wrote it.
        left_out: Failed execs that are missing from the file, by reason.
    """

    timestamp: int
    counters: Counters
    written: int | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)


_encode: Final = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode
"""``json.dumps`` makes an encoder for each call, unless all is as by default."""


def json_text(value: object) -> str:
    """Return a value as JSON in ASCII without blanks, as in all lines."""
    return _encode(value)


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
    """Return a header as a line, with its newline."""
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
    """Return an event as a line, with its newline."""
    return _line(event_to_json(event, show_secrets=show_secrets))


def ending_line(ending: Ending) -> str:
    """Return the line that ends a recording, with its newline."""
    # Every line has a timestamp, for programs that read the file as a log.
    ended = rfc3339(ending.timestamp)
    account = {} if ending.written is None else {"written": ending.written, "left_out": dict(ending.left_out)}
    return _line(
        {"ended": ended, "timestamp": ended} | account | {"counters": _counters_to_json(ending.counters)}
    )


def _counters(value: object) -> Counters:
    if not isinstance(value, dict):
        raise RecordError('"counters" is not an object')
    names = ("seen", "recorded", "suppressed", "lost")
    seen, recorded, suppressed, lost = (natural(name, value.get(name)) for name in names)
    if seen != recorded + suppressed + lost:
        raise RecordError('"counters" do not add up: seen is not recorded + suppressed + lost')
    return Counters(
        seen=seen,
        recorded=recorded,
        suppressed=suppressed,
        lost=lost,
        losses=_by_name("losses", value),
        untold=natural("untold", value.get("untold", 0)),
        untracked=natural("untracked", value.get("untracked", 0)),
        incomplete=_by_name("incomplete", value),
    )


def _by_name(member: str, value: Mapping[str, object]) -> dict[str, int]:
    counts = value.get(member, {})
    if not isinstance(counts, dict):
        raise RecordError(f'"{member}" is not an object')
    return {text(member, name): natural(member, number) for name, number in counts.items()}


def _header(obj: Mapping[str, object]) -> Header:
    version = natural("execwhy", obj["execwhy"])
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
        evicted=optional(natural)("evicted", obj.get("evicted")),
    )


def _not_json(constant: str) -> NoReturn:
    raise RecordError(f"{constant} is not JSON")


def parse_line(line: bytes | str) -> Header | Event | Ending:
    """Parse a line of a file.

    Args:
        line: The line, with or without its newline; at most ``MAX_LINE_BYTES``.

    Raises:
        UnknownVersion: It is the header of a file in another format.
        SnapshotError: It is not a valid line; the message is a clause such as
            ``"pid" is not a whole number``, to which the caller adds the file and the line's number.
    """
    if len(line) > MAX_LINE_BYTES:
        raise SnapshotError(f"it is longer than {MAX_LINE_BYTES >> 20} MiB")
    try:
        obj = json.loads(line, parse_constant=_not_json)
        if not isinstance(obj, dict):
            raise RecordError("it is not a JSON object")
        if "execwhy" in obj:
            return _header(obj)
        if "ended" in obj:
            return Ending(
                timestamp("ended", obj["ended"]),
                _counters(obj.get("counters")),
                optional(natural)("written", obj.get("written")),
                _by_name("left_out", obj),
            )
        return event_from_json(obj)
    except RecordError as error:
        raise SnapshotError(str(error)) from None
    except RecursionError:
        raise SnapshotError("it is nested too deeply") from None
    except (ValueError, MemoryError):
        raise SnapshotError("it is not JSON") from None
