"""The counters are right: programs that fail to exec in every way count their failures, and agree.

EXECWHY_STRESS_SECONDS makes it longer (``make stress``: five minutes).
"""

from __future__ import annotations

import itertools
import os
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from execwhy.bpf.events.arrivals import Occurrence, Report, SearchEnd, expand_bursts
from execwhy.bpf.events.loss import Loss
from execwhy.bpf.events.record import ExecFailure
from execwhy.bpf.events.source import Capture, Counters, EventSource
from execwhy.bpf.read.reader import KernelSource
from tests.live.exec_child import PATIENCE
from tests.live.listener import Listener, add_up, drained
from tests.live.zoo import Zoo

SECONDS = int(os.environ.get("EXECWHY_STRESS_SECONDS", "12"))
ALWAYS, SOMETIMES = 61_234, 61_235
"""Uids without an account: execs of the first are always recorded, those of the other only at times."""
OURS = ((ALWAYS, SOMETIMES),)
ALL_OTHERS = ((0, ALWAYS - 1), (SOMETIMES + 1, 0xFFFFFFFE))
FILLER = 3000
"""Of tests/programs/stress.c."""


@pytest.fixture
def files(tmp_path: Path, zoo: Zoo) -> Iterator[str]:
    """Yield the files that the program execs, where every user has access."""
    directory = Path(zoo.directory, "stress-files")
    directory.mkdir()
    for number in range(100):
        (directory / f"{number:02}").mkdir()
    for name in ("text", "unmappable", "succeeds"):
        os.link(zoo / name, directory / name)
    yield str(directory)
    subprocess.run(["rm", "-r", directory], check=True)


@dataclass
class Seen:
    """What was reported of the program's execs, without the records: there may be millions."""

    by_uid: Counter[int] = field(default_factory=Counter)
    ids: bytearray = field(default_factory=bytearray)
    lost: int = 0
    wrong: list[str] = field(default_factory=list)

    def take(self, reports: Sequence[Report]) -> None:
        """Check each record against itself, and count it."""
        for report in expand_bursts(reports):
            if isinstance(report, Loss):
                self.lost += report.count
            elif not isinstance(report, SearchEnd):
                record = report.materialize() if isinstance(report, Occurrence) else report
                self.by_uid[record.uid] += 1
                self._check(record)

    def _check(self, record: ExecFailure) -> None:
        path = record.path or ""
        missing = path.startswith("/execwhy-stress/")
        marks = path.split("/")[2:3] if missing else path.split("/stress-files/")[-1].split("/..")[:4]
        mark = "".join(part.strip("/") for part in marks)
        if not mark.isdigit() or len(mark) != 8:
            self.wrong.append(f"no id in {record}")
            return
        number = int(mark)
        self.ids.extend(bytes(max(0, number + 1 - len(self.ids))))
        self.ids[number] += 1
        expected = None if record.killed_by else self._expected(number, mark, record)
        if expected is not None:
            self.wrong.append(f"{expected} in {record}")
        if (record.error == "ENOENT") != missing or (record.killed_by is None) != (
            not path.endswith("/unmappable")
        ):
            self.wrong.append(f"another error than that of its path in {record}")

    def _expected(self, number: int, mark: str, record: ExecFailure) -> str | None:
        length = number % 97 if number % 7 else number % FILLER
        filler = chr(ord("a") + number % 26) * length
        if record.arguments != ("stress", mark, str(record.tid), filler):
            return f"argv is not of exec {mark}, with {length} of {filler[:1]}"
        if record.environment != (f"ID={mark}",):
            return f"envp is not of exec {mark}"
        return None


@contextmanager
def live(source: KernelSource) -> Iterator[Listener]:
    listener = Listener(source)
    listener.start()
    try:
        yield listener
    finally:
        source.close()


def both_at_once(first: EventSource, second: EventSource) -> tuple[Counters, Counters]:
    """Return the counters of two sources at a moment when neither changed."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        before = first.status().counters, second.status().counters
        time.sleep(0.02)
        if before == (first.status().counters, second.status().counters):
            return before
    raise TimeoutError("something fails to exec all the time here: stop it for this test")


def changing() -> Iterator[Capture]:
    """Capture filters that all let the first user's execs pass."""
    return itertools.cycle(
        [
            Capture(uid_ranges=OURS),
            Capture(uid_ranges=((ALWAYS, ALWAYS),)),
            Capture(uid_ranges=((ALWAYS, ALWAYS),), path_prefixes=("/execwhy-stress/", "/tmp/execwhy-live-")),
            Capture(uid_ranges=OURS, paths=("/x",), path_prefixes=("/execwhy-stress/", "/tmp/execwhy-live-")),
        ]
    )


def stress(
    zoo: Zoo, files: str, seconds: int, ring_bytes: int | None
) -> tuple[Seen, list[tuple[int, int]], int, Counters]:
    """Run the program and return what was reported, its own counts, its failures seen, and the counters.

    The failures seen are the failed execs of its users that the kernel program saw: all that it saw minus
    those of everyone else, which a second source counts.
    """
    captures = changing()
    source = KernelSource(capture=next(captures), ring_bytes=ring_bytes)
    seen = Seen()
    with live(source), live(KernelSource(capture=Capture(uid_ranges=ALL_OTHERS))) as everyone_else:
        before, before_others = both_at_once(source, everyone_else.source)
        command = [zoo / "stress", files, str(seconds), "7", str(ALWAYS), str(SOMETIMES)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            while process.poll() is None:
                source.wait(0.02)
                seen.take(drained(source))
                assert add_up(source.status().counters)
                source.set_capture(next(captures))
                drained(everyone_else.source)
            assert process.stdout is not None and process.returncode == 0
            own = [(int(begun), int(failed)) for begun, failed in map(str.split, process.stdout)]
        after, after_others = both_at_once(source, everyone_else.source)
        others = after_others.recorded + after_others.lost - before_others.recorded - before_others.lost
        source.close()
        seen.take(drained(source))
        counters = source.status().counters
    assert add_up(counters)
    assert sum(seen.by_uid.values()) == counters.recorded
    assert seen.lost == counters.lost
    return seen, own, after.seen - before.seen - others, counters


def test_no_record_of_any_failing_exec_is_lost_or_mixed_up(zoo: Zoo, files: str) -> None:
    seen, own, ours, counters = stress(zoo, files, SECONDS, 64 << 20)
    (begun, failed), (begun_too, failed_too) = own
    print(f"{ours:,} seen; {failed:,} + {failed_too:,} failed, of {begun:,} + {begun_too:,}; {counters}")
    assert seen.wrong == []
    assert max(seen.ids) == 1, "one exec was recorded twice"
    assert set(seen.by_uid) == {ALWAYS, SOMETIMES}
    assert counters.lost == 0
    # Execs of processes killed from outside are recorded or were never made: nothing else shows which.
    killed = seen.by_uid[ALWAYS] - failed
    assert 0 <= killed <= begun - failed
    assert begun_too == failed_too > seen.by_uid[SOMETIMES] > 0
    assert ours == failed + killed + failed_too


def test_the_counters_add_up_when_most_records_are_lost(zoo: Zoo, files: str) -> None:
    seen, own, ours, counters = stress(zoo, files, max(3, SECONDS // 5), 16 << 10)
    (begun, failed), (begun_too, failed_too) = own
    assert counters.lost > 0, "the ring was to overflow"
    assert seen.wrong == []
    assert max(seen.ids) == 1
    assert failed + failed_too <= ours <= begun + begun_too
