"""A recording holds all events of its run, and is complete no matter how it ends."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from execwhy.bpf.events.arrivals import Burst, Event, Occurrence, Report, SearchEnd, expand_bursts
from execwhy.bpf.events.loss import Loss
from execwhy.bpf.events.record import Diagnosis, ExecFailure
from execwhy.bpf.events.source import Capture, Counters, Origin, Stage, Status
from execwhy.tui.cli.signals import ending_on_signals
from execwhy.tui.model.files.safe_file import SnapshotError
from execwhy.tui.model.query import parse
from execwhy.tui.recording.files.output import ReaderGone
from execwhy.tui.recording.recorder import Recording
from execwhy.tui.recording.result import Limits, Result, beginning, summary
from tests.looks import InlineLookers
from tests.unit.records import failure

ORIGIN = Origin("web-1", "6.1.0", 0, "tracepoint")


class Script:
    """A source that hands over these batches, one at a time, and then stays in this stage."""

    def __init__(
        self,
        batches: Sequence[Sequence[Report]],
        *,
        starting: Sequence[Stage] = (),
        stage: Stage = Stage.ENDED,
        detail: str = "",
        at_close: Sequence[Report] = (),
        on_wait: Callable[[], None] = lambda: None,
    ) -> None:
        self._batches = list(batches)
        self._starting = list(starting)
        self._stage = stage
        self._detail = detail
        self._at_close = list(at_close)
        self._on_wait = on_wait
        self._taken = 0
        self._has_more = False
        self.closed = False

    def start(self) -> None:
        pass

    def wait(self, seconds: float) -> None:
        assert 0 <= seconds <= 1
        self._on_wait()

    def drain(self, held_up: Collection[int] = ()) -> Sequence[Report]:
        self._has_more = not self._has_more
        if not self._has_more:
            return []
        if self._batches:
            batch: Sequence[Report] = self._batches.pop(0)
        else:
            batch, self._at_close = (self._at_close if self.closed else []), []
        self._taken += len(batch)
        return batch

    def status(self) -> Status:
        if self._starting:
            return Status(self._starting.pop(0), "", Counters(), ORIGIN)
        stage = Stage.LIVE if self._batches and not self.closed else self._stage
        return Status(stage, self._detail, Counters(seen=self._taken, recorded=self._taken), ORIGIN)

    def set_capture(self, capture: Capture | None) -> None:
        raise ValueError("a script captures nothing")

    def abandon(self) -> None:
        pass

    def finish(self) -> None:
        self.closed = True

    def close(self) -> None:
        self.closed = True


class Kept:
    """An output in memory that may be full."""

    name = "kept.jsonl"
    takes_back = True

    def __init__(self, room: int = 1 << 30, error: Exception | None = None) -> None:
        self.data = b""
        self.writes = 0
        self.state = "open"
        self.is_wanted = True
        self.is_hurried = False
        self.free: int | None = None
        self.became = ""
        self._room = room
        self._error = error

    def room(self) -> int | None:
        return self.free

    def fate(self) -> str:
        return self.became

    def write(self, data: bytes) -> None:
        if self._error and len(self.data) + len(data) > self._room:
            raise self._error
        self.data += data
        self.writes += 1

    def close(self) -> None:
        assert self.state == "open"
        self.state = "closed"

    def hurry(self) -> None:
        self.is_hurried = True

    def discard(self) -> None:
        assert self.state == "open"
        self.state = "discarded"

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.data.splitlines()]


class Only:
    """Selects the records of these paths."""

    depends_on_moment = False

    def __init__(self, *paths: str) -> None:
        self._paths = paths

    def matches(self, record: ExecFailure, now: int) -> bool:
        return not self._paths or record.path in self._paths


def why(failure: ExecFailure) -> Diagnosis:
    return Diagnosis("missing-file", f"{failure.path} is not there")


def recorder(source: Script, output: Kept, selection: Only | None = None, **options: Any) -> Recording:
    return Recording(
        source, output, selection=selection or Only(), query="uid==33", lookers=InlineLookers(why), **options
    )


def failures(*paths: str) -> list[Event]:
    return [failure(path=path) for path in paths]


def paths(output: Kept) -> list[str]:
    return [line["path"] for line in output.lines if "path" in line]


def test_a_recording_is_a_header_the_events_and_an_ending() -> None:
    output = Kept()
    source = Script([failures("/a", "/b"), [Loss(1, 5, "ring buffer full")], failures("/c")])
    result = recorder(source, output).run()
    header, a, _b, loss, c, ending = output.lines
    assert (header["execwhy"], header["filter"], header["host"]) == (1, "uid==33", "web-1")
    assert (a["path"], c["path"], loss["lost"]) == ("/a", "/c", 5)
    assert ending["counters"] == {
        "seen": 4,
        "recorded": 4,
        "suppressed": 0,
        "lost": 0,
        "losses": {},
        "untold": 0,
        "untracked": 0,
        "incomplete": {},
    }
    assert result == Result(True, 3, Counters(seen=4, recorded=4), name="kept.jsonl")
    assert (output.state, source.closed) == ("closed", True)


def test_every_record_is_diagnosed_unless_it_is_already() -> None:
    output = Kept()
    known = failure(path="/b", diagnosis=Diagnosis("known", "known before"))
    recorder(Script([[failure(path="/a"), known]]), output).run()
    codes = {line["path"]: line["diagnosis"]["code"] for line in output.lines if "path" in line}
    assert codes == {"/a": "missing-file", "/b": "known"}


@pytest.mark.parametrize("text", ["", "path:/opt/**", "pid==7", "pid!=7", "age<1d"])
@pytest.mark.parametrize("show_secrets", [False, True])
def test_the_lines_of_a_storm_equal_those_of_single_records(text: str, show_secrets: bool) -> None:
    def recorded(storm: list[Report]) -> bytes:
        output = Kept()
        options: dict[str, Any] = {"query": "", "lookers": InlineLookers(lambda _: known)}
        options["show_secrets"] = show_secrets
        Recording(Script([storm]), output, selection=parse(text), **options).run()
        return b"".join(line for line in output.data.splitlines(True) if b'"ended"' not in line)

    known = Diagnosis("missing-file", "It is missing.")

    first = failure(path="/opt/\udcff\x1b", environment=("TOKEN=hunter2", None))
    now = time.time_ns()
    storm: list[Report] = [
        Occurrence(first, now, 7, 8, 0, None),
        Burst(Occurrence(first, now + 30, 9, 9, 5, 123), np.array([now + 10, now + 20, now + 30])),
        Loss(now + 40, 3, "ring buffer full"),
        Occurrence(replace(first, return_value=-13), now + 50, 7, 7, 0, 5),
    ]
    alone: list[Report] = [
        event.materialize() if isinstance(event, Occurrence) else event for event in expand_bursts(storm)
    ]
    _header, *lines = recorded(storm).splitlines()
    assert lines == recorded(alone).splitlines()[1:]
    assert (b"hunter2" in recorded(storm)) == (show_secrets and bool(lines[1:]))


def test_only_selected_records_and_every_loss_are_written() -> None:
    output = Kept()
    diagnosed: list[str | None] = []

    def diagnose(failure: ExecFailure) -> Diagnosis:
        diagnosed.append(failure.path)
        return why(failure)

    source = Script([[*failures("/a", "/b", "/a"), Loss(1, 5, "ring buffer full")]])
    recording = Recording(source, output, selection=Only("/b"), query="", lookers=InlineLookers(diagnose))
    assert recording.run().written == 1
    assert paths(output) == ["/b"]
    assert diagnosed == ["/a", "/b", "/a"], "a filter may ask for the cause"
    assert [line["lost"] for line in output.lines if "lost" in line] == [5]


def test_secrets_are_masked_unless_requested() -> None:
    for show, expected in ((False, False), (True, True)):
        output = Kept()
        source = Script([[failure(arguments=("x", "--password=hunter2"))]])
        recorder(source, output, show_secrets=show).run()
        assert (b"hunter2" in output.data) is expected


def test_each_batch_is_written_before_waiting_for_the_next() -> None:
    output = Kept()
    seen: list[int] = []
    source = Script([failures("/a"), failures("/b")], on_wait=lambda: seen.append(output.writes))
    recorder(source, output).run()
    assert seen == [1, 2]


def test_a_recording_ends_after_exactly_count_records() -> None:
    output = Kept()
    source = Script([failures("/a", "/b", "/c", "/d"), failures("/e")], at_close=failures("/f"))
    assert recorder(source, output, limits=Limits(count=3)).run().written == 3
    assert paths(output) == ["/a", "/b", "/c"]
    assert "ended" in output.lines[-1]


def test_records_hidden_by_the_filter_do_not_count() -> None:
    output = Kept()
    source = Script([failures("/x", "/a", "/x"), failures("/a", "/a")])
    recorder(source, output, Only("/a"), limits=Limits(count=2)).run()
    assert paths(output) == ["/a", "/a"]


def tried(path: str, task: int, timestamp: int) -> ExecFailure:
    record = failure(path=path, timestamp=timestamp, environment=("PATH=/a:/b",))
    return replace(record, task=task, tid=task)


@pytest.mark.parametrize("selected", ["/a/B", "/b/B"])
def test_all_tries_of_a_search_are_selected_even_if_another_comes_between(selected: str) -> None:
    a, b, c = 1, 2, 3
    output = Kept()
    source = Script([
        [tried("/a/A", a, 1), tried("/a/B", b, 2), tried("/a/C", c, 3), tried("/b/B", b, 4)],
        [SearchEnd(5, b, None), SearchEnd(6, a, None)],
        [SearchEnd(7, c, None)],
    ])  # fmt: skip
    recorder(source, output, Only(selected)).run()
    assert paths(output) == ["/a/B", "/b/B"]
    searches = [line["search"] for line in output.lines if "path" in line]
    assert searches[0] == searches[1] and (searches[0]["name"], searches[0]["tries"]) == ("B", 2)


@pytest.mark.parametrize(("answer", "expected"), [(False, []), (True, ["/a/B", "/b/B"])])
def test_the_decision_about_a_search_applies_to_its_later_tries(answer: bool, expected: list[str]) -> None:
    class Changing(Only):
        """A filter whose answer changes with time, like "age"."""

        answer_for_b = answer

        def matches(self, record: ExecFailure, now: int) -> bool:
            if record.path != "/b/B":
                return False
            said, self.answer_for_b = self.answer_for_b, not self.answer_for_b
            return said

    output = Kept()
    source = Script([
        [tried("/a/B", 2, 2), tried("/a/C", 3, 3), tried("/b/B", 2, 4), SearchEnd(5, 2, None)],
        [],
        [SearchEnd(7, 3, None)],
    ])  # fmt: skip
    recorder(source, output, Changing()).run()
    assert paths(output) == expected


def test_no_more_decisions_are_kept_than_searches_are_held() -> None:
    reports: list[Report] = []
    for task in range(1, 200):
        reports += [tried(f"/a/{task}", task, task), tried(f"/b/{task}", task, task)]
        reports.append(SearchEnd(task, task, None))
    recording = recorder(Script([reports]), Kept())
    recording.run()
    assert recording._writer._selector._decided == {}


def test_a_recording_ends_after_its_duration() -> None:
    output = Kept()
    recorder(Script([], stage=Stage.LIVE), output, limits=Limits(duration=0.05)).run()
    assert ["execwhy" in output.lines[0], "ended" in output.lines[1]] == [True, True]


def test_records_captured_before_the_end_are_written_too() -> None:
    output = Kept()
    source = Script([failures("/a")], stage=Stage.LIVE, at_close=failures("/late"))
    recording = recorder(source, output)
    source._on_wait = recording.stop
    recording.run()
    assert output.is_hurried
    assert paths(output) == ["/a", "/late"]
    assert "ended" in output.lines[-1]


def test_a_long_batch_is_written_completely_after_capture_has_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("execwhy.tui.recording.recorder._ENDING_SECONDS", 100.0)
    output = Kept()
    source = Script([failures(*map(str, range(1700)))], stage=Stage.LIVE)
    recording = recorder(source, output)
    source._on_wait = recording.stop
    assert recording.run().written == 1700
    assert output.writes > 3


def test_the_start_is_announced_only_once_it_records() -> None:
    output, announced = Kept(), list[str]()

    def begin(origin: Origin) -> None:
        assert output.lines[0]["plan"] == origin.plan
        announced.append(beginning(origin, "/tmp/\x1b.jsonl", at_terminal=True))

    recorder(Script([], starting=[Stage.ATTACHING]), output, on_begin=begin).run()
    assert announced == [r"execwhy: recording into /tmp/\x1b.jsonl (tracepoint plan); Ctrl-C ends it."]
    recorder(Script([], stage=Stage.FAILED), Kept(), on_begin=begin).run()
    assert len(announced) == 1
    assert beginning(ORIGIN, "x", at_terminal=False) == "execwhy: recording into x (tracepoint plan)."


def test_the_header_waits_until_the_plan_is_known() -> None:
    output = Kept()
    source = Script([failures("/a")], starting=[Stage.STARTING, Stage.COMPILING, Stage.ATTACHING])
    recorder(source, output).run()
    assert output.lines[0]["plan"] == "tracepoint"


def test_a_source_that_fails_to_start_leaves_no_file_and_says_why() -> None:
    output = Kept()
    source = Script([], stage=Stage.FAILED, detail="the kernel says no.")
    result = recorder(source, output).run()
    assert (result.began, result.problem, output.state, output.data) == (
        False,
        "the kernel says no.",
        "discarded",
        b"",
    )


def test_a_source_that_fails_later_leaves_a_complete_recording_and_says_why() -> None:
    output = Kept()
    source = Script([failures("/a")], stage=Stage.FAILED, detail="the reader stopped.")
    result = recorder(source, output).run()
    assert result.problem == "the reader stopped."
    assert paths(output) == ["/a"]
    assert "ended" in output.lines[-1]


def test_lookers_that_died_are_reported_at_once_and_at_the_end() -> None:
    lookers, notices = InlineLookers(why), list[str]()
    lookers.problem = "the processes are gone."
    source = Script([failures("/a"), failures("/b"), failures("/c")])
    recording = Recording(
        source, Kept(), selection=Only(), query="", lookers=lookers, on_notice=notices.append
    )
    assert recording.run().problem == "the processes are gone."
    assert notices == ["the processes are gone."]


def test_stopping_before_the_hooks_are_attached_leaves_no_file() -> None:
    output = Kept()
    recording = recorder(Script([], stage=Stage.COMPILING), output)
    recording.stop()
    assert recording.run().began is False
    assert output.state == "discarded"


def test_a_reader_that_closes_the_pipe_is_no_problem() -> None:
    output = Kept(room=2000, error=ReaderGone())
    source = Script([failures("/a"), failures(*"b" * 50)], stage=Stage.LIVE)
    result = recorder(source, output).run()
    assert (result.problem, result.written, source.closed) == ("", 1, True)


def test_a_reader_that_leaves_while_nothing_fails_ends_the_recording() -> None:
    output = Kept(room=2000)

    def leave() -> None:
        output.is_wanted = False

    source = Script([[]], stage=Stage.LIVE, on_wait=leave)
    result = recorder(source, output).run()
    assert (result.began, result.problem, source.closed) == (True, "", True)


def test_a_full_disk_ends_the_recording_with_what_was_written_before() -> None:
    output = Kept(room=2000, error=SnapshotError("there is no room."))
    source = Script([failures("/a"), failures(*"b" * 50)], stage=Stage.LIVE)
    result = recorder(source, output).run()
    assert (result.problem, result.written) == ("there is no room.", 1)
    assert paths(output) == ["/a"]
    assert (output.state, source.closed) == ("closed", True)
    assert result.left_out == {"recording had failed": 50}, "what came and cannot be written is counted"


def test_records_waiting_when_the_file_is_removed_are_counted_as_omitted() -> None:
    kept = Kept()
    now = failure().timestamp
    source = Script([[failure(path="/a"), tried("/b/x", 7, now)]], stage=Stage.LIVE)
    source._on_wait = lambda: setattr(kept, "became", "removed") if paths(kept) else None
    result = recorder(source, kept).run()
    assert paths(kept) == ["/a"]
    assert (result.written, result.left_out) == (1, {"recording had failed": 1})
    assert result.counters.recorded == 2
    assert "1 written to kept.jsonl, which was removed meanwhile, 1 left out" in summary(result, "kept.jsonl")


class Silent(InlineLookers):
    """Lookers that examine nothing, so that records without a diagnosis wait."""

    def results(self, most: int | None = None) -> list[Any]:
        return []


def fails_when(condition: Callable[[], bool]) -> Callable[..., Any]:
    def fail(*_: object) -> None:
        if condition():
            raise IndexError("--password=hunter2")

    return fail


def diagnosed(path: str) -> ExecFailure:
    return failure(path=path, diagnosis=Diagnosis("known", "known before"))


@pytest.mark.parametrize(
    "place", ["the source", "the filter", "an event's line", "what holds back", "a counter"]
)
def test_an_internal_fault_loses_nothing_and_completes_the_file(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, selection = Kept(), Only()
    batch = [diagnosed("/a"), failure(path="/waits"), tried("/usr/bin/waits", 7, failure().timestamp)]
    source = Script(
        [batch, [], [diagnosed("/b"), diagnosed("/c"), failure(path="/d")]], stage=Stage.LIVE,
        at_close=[failure(path="/late")],
    )  # fmt: skip
    recording = Recording(source, output, selection=selection, query="", lookers=Silent(why))
    fail = fails_when(lambda: paths(output) == ["/a"])
    match place:
        case "the source":
            source._on_wait = fail
        case "the filter":
            monkeypatch.setattr(selection, "matches", lambda *_: fail() or True)
        case "an event's line":
            lines = recording._writer._lines.of
            monkeypatch.setattr(recording._writer._lines, "of", lambda event: fail() or lines(event))
        case "what holds back":
            take = recording._held_back.take
            monkeypatch.setattr(recording._held_back, "take", lambda *given: fail() or take(*given))
            monkeypatch.setattr(recording._held_back, "give_up", fail)
        case _:
            monkeypatch.setattr(recording._writer, "_on_cause", fail)
    result = recording.run()
    assert isinstance(result.fault, IndexError)
    assert paths(output) == ["/a"]
    assert (output.state, source.closed) == ("closed", True)
    ending = output.lines[-1]
    assert ending["written"] == result.written == 1
    assert ending["left_out"] == result.left_out == {"recording had failed": result.counters.recorded - 1}
    assert result.counters.recorded >= 3


def test_a_fault_before_the_hooks_are_attached_leaves_no_file() -> None:
    output = Kept()
    source = Script([])
    source.start = fails_when(lambda: True)  # type: ignore[method-assign]
    result = recorder(source, output).run()
    assert (result.began, output.state, source.closed) == (False, "discarded", True)
    assert isinstance(result.fault, IndexError)


def test_records_without_time_to_be_written_at_the_end_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("execwhy.tui.recording.recorder._LAST_LOOKS_SECONDS", 0.0)
    monkeypatch.setattr("execwhy.tui.recording.recorder._ENDING_SECONDS", 0.0)
    monkeypatch.setattr("execwhy.tui.recording.recorder._FEWEST_SECONDS", 0.0)
    output = Kept()
    mine = [replace(failure(path="/mine"), uid=7)]
    source = Script([[*failures(*"a" * 100), *mine]], stage=Stage.LIVE)
    recording = recorder(source, output, Only("/mine", "a"))
    source._on_wait = recording.stop
    result = recording.run()
    assert result.written + sum(result.left_out.values()) == result.counters.recorded == 101
    assert output.lines[-1]["left_out"] == dict(result.left_out)


class Flood(Script):
    """Hands over as many failures of one user as requested, until one of another user has come."""

    def __init__(self, output: Kept) -> None:
        super().__init__([])
        self._output = output
        self.handed_over = 0
        self.stage = Stage.LIVE

    def drain(self, held_up: Collection[int] = ()) -> Sequence[Report]:
        if self.stage is Stage.ENDED:
            return []
        if 666 in held_up:
            self.stage = Stage.ENDED
            return [replace(failure(path="/victim"), uid=7)]
        self.handed_over += 100
        return [replace(failure(path=f"/{number}", timestamp=number), uid=666) for number in range(100)]

    def status(self) -> Status:
        return Status(self.stage, "", Counters(), ORIGIN)


def test_a_flood_beyond_its_share_is_written_after_another_users_record(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("execwhy.tui.recording.held_back.MOST_HELD", 5000)
    monkeypatch.setattr("execwhy.tui.recording.recorder._TAKING_SECONDS", 60.0)
    monkeypatch.setattr("execwhy.tui.recording.recorder._ENDING_SECONDS", 100.0)
    output = Kept()
    flood = Flood(output)
    recorder(flood, output).run()
    assert 5000 < flood.handed_over < 6000
    assert paths(output).index("/victim") < 50
    assert len(paths(output)) == flood.handed_over + 1


class Losing(Script):
    """Increments a counter after its second batch was read."""

    counter = ""

    def status(self) -> Status:
        status = super().status()
        lost: dict[str, Any] = {self.counter: int(self._taken > 2)} if self.counter else {}
        return replace(status, counters=replace(status.counters, **lost))


@pytest.mark.parametrize(
    ("counter", "outcome"), [("", "not-found"), ("untold", "open"), ("untracked", "open")]
)
def test_a_lost_search_end_is_known_before_the_next_exec_of_its_task(counter: str, outcome: str) -> None:
    """The search may have found /c/x, which then failed at /opt/y."""
    tries = [
        replace(failure(path, environment=("PATH=/a:/b:/c",)), task=1) for path in ("/a/x", "/b/x", "/opt/y")
    ]
    output = Kept()
    source = Losing([tries[:2], tries[2:]])
    source.counter = counter
    recorder(source, output).run()
    searches = [line["search"] for line in output.lines if line.get("path") in ("/a/x", "/b/x")]
    assert [search["outcome"] for search in searches] == [outcome] * 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_stops_and_restores_the_handlers(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    stops: list[bool] = []
    with ending_on_signals(lambda: stops.append(True)):
        signal.raise_signal(number)
        assert stops == [True]
        assert signal.getsignal(number) is signal.SIG_DFL
    assert signal.getsignal(number) is before


def test_the_summary_has_the_equation_and_names_each_loss() -> None:
    counters = Counters(seen=1204, recorded=1000, suppressed=72, lost=132, losses={"ring buffer full": 132})
    assert summary(Result(True, 38, counters), "/tmp/\x1b.jsonl") == (
        "execwhy: 1,204 seen = 1,000 recorded + 72 suppressed + 132 lost (ring buffer full: 132); "
        r"38 written to /tmp/\x1b.jsonl."
    )
    assert summary(Result(True, 0, Counters()), "-") == (
        "execwhy: 0 seen = 0 recorded + 0 suppressed + 0 lost; 0 written to standard output."
    )


class NeverLooking(InlineLookers):
    """Lookers that find nothing in time."""

    def results(self, most: int | None = None) -> list[Any]:
        return []


def test_a_failure_not_examined_in_time_is_written_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("execwhy.tui.recording.recorder._LAST_LOOKS_SECONDS", 0.1)
    output = Kept()
    lookers = NeverLooking(why)
    Recording(Script([failures("/a")]), output, selection=Only(), query="", lookers=lookers).run()
    (line,) = [line for line in output.lines if "path" in line]
    assert line["diagnosis"]["code"] == "not-looked-at"
    assert line["diagnosis"]["certain"] is False
    assert lookers.is_closed


def test_causes_are_counted_as_they_are_written() -> None:
    counted: list[tuple[str, int]] = []
    source = Script([failures("/a", "/b")])
    recorder(source, Kept(), Only("/b"), on_cause=lambda one, count: counted.append((one.code, count))).run()
    assert counted == [("missing-file", 1)]
