"""What --metrics writes is what Prometheus and node_exporter read."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from prometheus_client.parser import text_string_to_metric_families

from execwhy.bpf.events.arrivals import Burst, Occurrence, Report
from execwhy.bpf.events.record import Diagnosis, ExecFailure
from execwhy.bpf.events.source import Capture, Counters, Origin, Stage, Status
from execwhy.tui.model.files.metrics import MAX_SERIES, Totals, escaped, label_of, text
from execwhy.tui.recording.instrumented import InstrumentedSource
from tests.unit.records import failure, texts

COUNTERS = Counters(seen=5, recorded=2, suppressed=1, lost=2, losses={"ring buffer full": 2})
STATUS = Status(Stage.LIVE, "", COUNTERS, Origin("web-1", "6.1.0", 1, "tracepoint"))


class Source:
    """A source with a script."""

    def __init__(self, *batches: list[Report]) -> None:
        self.batches = list(batches)
        self.lost = 0

    def start(self) -> None: ...
    def abandon(self) -> None:
        self.lost += sum(map(len, self.batches))
        self.batches.clear()

    def finish(self) -> None:
        pass

    def close(self) -> None: ...
    def wait(self, seconds: float) -> None: ...
    def set_capture(self, capture: Capture | None) -> None: ...

    def drain(self, held_up: Collection[int] = ()) -> list[Report]:
        return self.batches.pop(0) if self.batches else []

    def status(self) -> Status:
        counters = replace(COUNTERS, recorded=COUNTERS.recorded - self.lost, lost=COUNTERS.lost + self.lost)
        return replace(STATUS, counters=counters)


def totals(**counts: int) -> Totals:
    """Totals with these counts."""
    made = Totals()
    for name, count in counts.items():
        made.add(name, count)
    return made


def samples(written: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """What Prometheus's own parser makes of a text: by name and labels."""
    return {
        (sample.name, tuple(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(written)
        for sample in family.samples
    }


def test_prometheus_reads_the_counters_and_totals() -> None:
    written = text(STATUS, totals(ENOENT=3, EACCES=1), totals(**{"missing-file": 3}), 1_500_000_000)
    assert samples(written) == {
        ("execwhy_execs_seen_total", ()): 5,
        ("execwhy_execs_recorded_total", ()): 2,
        ("execwhy_execs_suppressed_total", ()): 1,
        ("execwhy_execs_lost_total", (("reason", "ring buffer full"),)): 2,
        ("execwhy_failures_total", (("error", "EACCES"),)): 1,
        ("execwhy_failures_total", (("error", "ENOENT"),)): 3,
        ("execwhy_causes_total", (("why", "missing-file"),)): 3,
        ("execwhy_live", (("plan", "tracepoint"),)): 1,
        ("execwhy_written_seconds", ()): 1.5,
    }


def test_every_sample_has_a_type_and_a_help_of_its_own_name() -> None:
    lines = text(STATUS, totals(ENOENT=1), totals(**{"missing-file": 1}), 0).splitlines()
    sampled = {line.partition(" ")[0].partition("{")[0] for line in lines if line[0] != "#"}
    helped = {line.split()[2] for line in lines if line.startswith("# HELP ") and len(line.split()) > 3}
    types = {line.split()[2]: line.split()[3] for line in lines if line.startswith("# TYPE ")}
    assert sampled == helped == types.keys()
    assert types == {name: "counter" if name.endswith("_total") else "gauge" for name in sampled}


@settings(deadline=None)
@given(texts)
def test_a_hostile_label_stays_one_label(hostile: str) -> None:
    written = text(STATUS, totals(**{hostile: 7}), totals(), 0)
    value = hostile.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    found = samples(written)
    assert found["execwhy_failures_total", (("error", value),)] == 7
    assert len(found) == len(samples(text(STATUS, totals(x=1), totals(), 0)))


def test_quotes_backslashes_and_line_ends_are_escaped() -> None:
    assert escaped('a"b\\c\nd\udcff') == 'a\\"b\\\\c\\nd�'


def test_the_number_of_series_is_limited_and_everything_is_counted() -> None:
    many = Totals()
    for number in range(MAX_SERIES + 50):
        many.add(f"name-{number}")
    assert len(many.items()) == MAX_SERIES + 1
    assert dict(many.items())["other"] == 50


def test_each_event_is_counted_also_one_that_is_like_an_earlier_one(tmp_path: Path) -> None:
    path = tmp_path / "execwhy.prom"
    first = failure()
    again = Occurrence(first, 1, 2, 2, 3, None)
    burst = Burst(again, np.array([1, 1, 1]))
    source = InstrumentedSource(Source([first, again], [again], [burst]), str(path))
    assert [len(source.drain()) for _ in range(4)] == [2, 1, 1, 0]
    source.count_cause(Diagnosis("missing-file", "So."), 1)
    source.count_cause(Diagnosis("missing-directory", "So."), 2)
    source.close()
    found = samples(path.read_text(encoding="utf-8"))
    assert found["execwhy_failures_total", (("error", "ENOENT"),)] == 6
    assert found["execwhy_causes_total", (("why", "missing-file"),)] == 1
    assert found["execwhy_causes_total", (("why", "missing-directory"),)] == 2


def test_what_is_drained_after_the_end_is_counted_too(tmp_path: Path) -> None:
    path = tmp_path / "execwhy.prom"
    source = InstrumentedSource(Source([failure()], [failure(), failure()]), str(path))
    assert len(source.drain()) == 1
    source.close()
    assert samples(path.read_text())["execwhy_failures_total", (("error", "ENOENT"),)] == 3
    for failed in source.drain():
        assert isinstance(failed, ExecFailure)
        source.count_cause(Diagnosis("missing-file", "So."), 1)
    assert source.drain() == []
    source.close()
    found = samples(path.read_text())
    assert found["execwhy_failures_total", (("error", "ENOENT"),)] == 3
    assert found["execwhy_causes_total", (("why", "missing-file"),)] == 2


def test_what_nobody_drains_any_more_is_counted_as_lost(tmp_path: Path) -> None:
    path = tmp_path / "execwhy.prom"
    source = InstrumentedSource(Source([failure(), failure()]), str(path))
    source.write()
    assert samples(path.read_text())["execwhy_execs_recorded_total", ()] == 2
    source.abandon()
    assert samples(path.read_text())["execwhy_execs_recorded_total", ()] == 0


def test_others_may_read_the_file_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "execwhy.prom"
    path.write_text("old")
    source = InstrumentedSource(Source(), str(path))
    source.write()
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert os.listdir(tmp_path) == ["execwhy.prom"]
    assert path.read_text(encoding="utf-8").startswith("# HELP execwhy_execs_seen_total ")


def test_a_file_that_can_no_longer_be_written_is_reported_as_a_problem(tmp_path: Path) -> None:
    source = InstrumentedSource(Source([failure()]), str(tmp_path / "gone" / "execwhy.prom"))
    assert len(source.drain()) == 1
    assert "its directory does not exist" in source.status().problem
    (tmp_path / "gone").mkdir()
    source.close()
    assert source.status() == STATUS


def test_no_counter_reveals_more_than_the_error_does() -> None:
    certain = Diagnosis("missing-file", "So.")
    uncertain = [Diagnosis(code, "So.", certain=False) for code in ("missing-file", "appeared-since")]
    of_the_call = Diagnosis("process-limit", "So.", certain=False)
    assert label_of(certain) == "missing-file"
    assert {label_of(one) for one in uncertain} == {"uncertain"}
    assert label_of(of_the_call) == "process-limit"
