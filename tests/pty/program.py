"""Open the screen on a scripted source, for the pty tests. It needs no root."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from execwhy.bpf.events.arrivals import Report
from execwhy.bpf.events.loss import Loss
from execwhy.bpf.events.record import ExecFailure
from execwhy.tui.model.files.json_lines import parse_line
from execwhy.tui.model.history.store import History
from execwhy.tui.screen.app import ExecwhyApp
from execwhy.tui.terminal import terminal
from tests.ui.scripted_source import ScriptedSource, a_day, failure

HOSTILE = (
    "\x1b]0;owned\x07", "\x1b[2J", "\x1b]52;c;b3duZWQ=\x07", "\x9b31m", "\x9d0;owned\x9c", "\x00", "\x7f",
    "\x0e", "\u202eowned", "\udc9b31m", "\udcff",
)  # fmt: skip


class _Noisy(ScriptedSource):
    """Writes to descriptor 2 as C libraries do."""

    def drain(self) -> Sequence[Report]:
        os.write(2, b"libbpf: noise that nobody asked for\n")
        return super().drain()


class _Crashing(ScriptedSource):
    """Fails while a secret is in a local variable and in the exception."""

    def drain(self) -> Sequence[Report]:
        arguments = ("mysql", "--password=hunter2")
        raise RuntimeError(f"cannot go on with {arguments}")


class _CrashingLater(_Crashing):
    """Fails in the same way, after some events."""

    def drain(self) -> Sequence[Report]:
        if self.looks >= 10:
            return super().drain()
        return ScriptedSource.drain(self)


class _NoisyCrashing(_Crashing):
    """Fails after a C library has quoted hostile text."""

    def drain(self) -> Sequence[Report]:
        os.write(2, b"libbpf: \x1b]0;owned\x07\xff\na second line\n")
        return super().drain()


def _source(kind: str) -> ScriptedSource:
    if kind == "file":
        lines = Path(sys.argv[2]).read_bytes().splitlines()
        found = [parse_line(line) for line in lines]
        source = ScriptedSource([event for event in found if isinstance(event, ExecFailure | Loss)])
        source.host = next(event.comm for event in found if isinstance(event, ExecFailure))
        return source
    if kind == "hostile":
        return ScriptedSource([
            failure(f"/tmp/{text}x", comm=text, arguments=(text,), environment=(f"A={text}",), unit=text)
            for text in HOSTILE
        ])  # fmt: skip
    sources = {
        "noisy": _Noisy,
        "crash": _Crashing,
        "crash-later": _CrashingLater,
        "noisy-crash": _NoisyCrashing,
    }
    return sources.get(kind, ScriptedSource)(a_day(60))


def main() -> int:
    """Run the screen; the first argument names the source."""
    if "nohup" in sys.argv:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    app = ExecwhyApp(_source(sys.argv[1]), history=History())
    return terminal.run(app, mouse=True)


if __name__ == "__main__":
    sys.exit(main())
