"""The parsers of untrusted bytes: each may refuse them only in the documented way."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from typing import Final

from execwhy.bpf.events.arrivals import Occurrence
from execwhy.bpf.events.loss import Loss
from execwhy.bpf.events.record import ExecFailure
from execwhy.bpf.read.decode import DecodeError, Decoder, decode
from execwhy.tui.model.files import record_csv
from execwhy.tui.model.files.json_lines import Ending, Header, event_line, parse_line
from execwhy.tui.model.files.record_json import record_to_json
from execwhy.tui.model.files.safe_file import SnapshotError
from execwhy.tui.model.query import QueryError, parse
from execwhy.tui.model.text.printable import printable
from tests.unit.raw_record import UNREAD, element, raw_record, walked
from tests.unit.records import failure

Target = Callable[[bytes], None]

_LATEST: Final = (1 << 62) - 1
"""Nanoseconds after boot; the kernel's clock runs for centuries before it has more."""


def decode_record(data: bytes) -> None:
    """Expect a DecodeError, or a record whose every part can be written and shown, from any bytes."""
    if len(data) >= 8:
        # Times come from the kernel's clock, even if others choose the rest.
        data = struct.pack("<Q", struct.unpack_from("<Q", data)[0] & _LATEST) + data[8:]
    try:
        report, lost = decode(data, 0)
    except DecodeError as error:
        assert str(error).endswith(".")
        return
    assert 0 <= lost < 1 << 32
    if isinstance(report, ExecFailure):
        _can_be_shown(report)
        decoder = Decoder(0)
        assert decoder.decode(data)[0] == report
        again, _ = decoder.decode(data)
        assert isinstance(again, Occurrence) and again.materialize() == report


def parse_filter(data: bytes) -> None:
    """Expect a QueryError with a place in the text, or a query that answers for any record."""
    text = data.decode("utf-8", "surrogateescape")
    try:
        query = parse(text)
    except QueryError as error:
        assert 0 <= error.start <= error.end <= max(len(text), 1) + 1, (error.start, error.end, text)
        return
    for record in _RECORDS:
        assert query.matches(record, 2**62) in (True, False)
    try:
        query.capture()
    except QueryError as error:
        assert error.message


def read_line(data: bytes) -> None:
    """Expect a SnapshotError, or a value that is the same after it was written and read again."""
    try:
        found = parse_line(data)
    except SnapshotError as error:
        assert str(error)
        return
    if isinstance(found, Header | Ending):
        return
    assert parse_line(event_line(found, show_secrets=True)) == found
    if isinstance(found, Loss):
        assert "\x1b" not in "".join(record_csv.lines([found], show_secrets=True))
    else:
        _can_be_shown(found)


def _can_be_shown(record: ExecFailure) -> None:
    line = event_line(record, show_secrets=False)
    assert line.isascii() and line.count("\n") == 1
    assert all(
        part.isprintable() for part in "".join(record_csv.lines([record], show_secrets=False)).split("\n")
    )
    for value in record_to_json(record, show_secrets=True).values():
        if isinstance(value, str):
            assert printable(value).isprintable()
            value.encode("utf-8", "surrogateescape")


_RECORDS: Final = (
    failure(),
    failure(path=None, arguments=(None, "\udcff"), environment=()),
    failure(path="\x1b[2J" * 1000, arguments=()),
)

_FULL: Final = raw_record(
    {
        "path": b"/opt/run\0",
        "cwd": walked(b"srv", b"app"),
        "cgroup": walked(b"system.slice", b"cron.service"),
        "stdin": walked(b"dev", b"null"),
        "ancestors": struct.pack("<I16s", 1, b"init"),
        "groups": struct.pack("<2I", 0, 33),
        "arguments": element(b"run") + UNREAD + element(b"x" * 600),
        "environment": element(b"PATH=/bin"),
    },
    counts=(3, 1),
    timestamp=1,
    return_value=-2,
    pid=5,
    tid=5,
)

TARGETS: Final[Mapping[str, tuple[Target, tuple[bytes, ...]]]] = {
    "decode": (decode_record, (_FULL, raw_record())),
    "filter": (
        parse_filter,
        (
            b"nginx EACCES",
            b"uid:1000..1999 path:/opt/** !comm:cron",
            b"not (user=root or ppid==0x1) errno in (ENOENT,EACCES)",
            b'path~"^/(a|b)+$" age<5m mode=0755 "quoted \\" word"',
        ),
    ),
    "snapshot": (
        read_line,
        (
            event_line(failure(), show_secrets=True).encode(),
            json.dumps({"lost": 3, "timestamp": "2026-11-24T21:50:12Z", "reason": "x"}).encode(),
            b'{"execwhy":1,"host":"a","kernel":"6","boot_time":"2026-11-24T21:50:12Z","counters":'
            b'{"seen":0,"recorded":0,"suppressed":0,"lost":0}}',
        ),
    ),
}
"""The targets by name: a function of bytes, and inputs that it accepts."""
