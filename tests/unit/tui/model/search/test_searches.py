"""Which failed execs are one search, and how it ended: as the kernel reports it for real programs."""

from __future__ import annotations

import errno
import itertools
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from execwhy.bpf.events.arrivals import Burst, Event, Occurrence, Report, SearchEnd, expand_bursts
from execwhy.bpf.events.loss import Loss
from execwhy.bpf.events.record import Attempt, Diagnosis, ExecFailure, Look, Search, Truncated
from execwhy.tui.model.history.resident import Resident
from execwhy.tui.model.history.store import History
from execwhy.tui.model.search import searches as limits
from execwhy.tui.model.search.searches import Searches
from execwhy.tui.recording.held_back import HoldBackQueue
from execwhy.tui.why.lookers.ready import Ready

MS = 1_000_000
SECOND = 1000 * MS
START = 1_790_000_000 * SECOND
ENOENT, EACCES, ENOEXEC, ENOTDIR = -2, -13, -8, -20
PATH = (
    "PATH=/root/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/a:/b:/c:/d:/e:/f:/opt/bin:/usr/bin:/bin:/opt"
    ":/usr/bin/x"
)


class Kernel:
    """Reports as the kernel sends them, a millisecond apart."""

    def __init__(self) -> None:
        self.now = START
        self.reports: list[Report] = []

    def fails(
        self, path: str | None, return_value: int = ENOENT, task: int = 1, variable: str = PATH
    ) -> None:
        self.now += MS
        self.reports.append(
            ExecFailure(
                timestamp=self.now,
                path=path,
                return_value=return_value,
                environment=(variable,),
                task=task,
                tid=1000 + task,
                pid=1000 + task,
            )
        )

    def tries(self, name: str, *directories: str, task: int = 1, variable: str = PATH) -> None:
        for directory in directories:
            self.fails(f"{directory}/{name}", task=task, variable=variable)

    def succeeds(self, path: str, task: int = 1) -> None:
        self.now += MS
        self.reports.append(SearchEnd(self.now, task, path))

    def ends(self, task: int = 1) -> None:
        self.now += MS
        self.reports.append(SearchEnd(self.now, task, None))

    def waits(self, seconds: float) -> None:
        self.now += int(seconds * SECOND)


@pytest.fixture
def kernel() -> Kernel:
    return Kernel()


def records_of(reports: Sequence[Report], idle: float = 3) -> list[ExecFailure]:
    """Return the records with their searches; check that batches do not matter."""
    at_once = apply(reports, [len(reports)], idle)
    one_by_one = apply(reports, [1] * len(reports), idle)
    assert [record.search for record in at_once] == [record.search for record in one_by_one]
    return at_once


def apply(reports: Sequence[Report], steps: Sequence[int], idle: float) -> list[ExecFailure]:
    searches, history = Searches(), History()
    at = 0
    for step in [*steps, 0]:
        batch = reports[at : at + step]
        at += step
        now = batch[-1].timestamp if batch else reports[-1].timestamp + int(idle * SECOND)
        history.append(searches.take(batch, now))
        for event_id, search in searches.ended():
            history.set_search(event_id, search)
    events = [history[event_id] for event_id in range(history.end_id)]
    return [event for event in events if isinstance(event, ExecFailure)]


def one_search(records: Sequence[ExecFailure]) -> Search:
    """Return the search that all of these are tries of, as its representative has it."""
    representatives = [record.search for record in records if record.search and not record.search.folded]
    assert len(representatives) == 1
    search = representatives[0]
    assert search is not None
    assert search.tries == len(records)
    assert search.attempts == tuple(Attempt(record.path or "", record.return_value) for record in records)
    folded = replace(search, attempts=(), folded=True)
    assert all(record.search in (search, folded) for record in records)
    return search


def test_env_finds_its_program_after_three_tries(kernel: Kernel) -> None:
    """So do nice, timeout, xargs and a posix_spawnp child: each is a task that calls glibc's execvp."""
    kernel.tries("ls", "/usr/local/sbin", "/usr/local/bin", "/usr/sbin")
    kernel.succeeds("/usr/bin/ls")
    records = records_of(kernel.reports)
    search = one_search(records)
    assert (search.name, search.tries, search.outcome, search.found_path) == ("ls", 3, "found", "/usr/bin/ls")
    last = records[-1].search
    assert last is not None
    assert not last.folded, "the last try stands for the search"


def test_env_does_not_find_a_name_and_exits(kernel: Kernel) -> None:
    kernel.tries("cmake", "/usr/local/bin", "/usr/bin", "/bin")
    kernel.ends()
    search = one_search(records_of(kernel.reports))
    assert (search.outcome, search.found_path) == ("not-found", None)


def test_one_failure_before_a_success_elsewhere_is_a_found_search(kernel: Kernel) -> None:
    kernel.tries("ls", "/usr/local/bin")
    kernel.succeeds("/usr/bin/ls")
    assert one_search(records_of(kernel.reports)).outcome == "found"


@pytest.mark.parametrize("success", [None, "/usr/bin/x", "/bin/sh"])
def test_one_failure_alone_is_no_search(kernel: Kernel, success: str | None) -> None:
    """A retry that succeeds at the same path is none either: ETXTBSY, EAGAIN."""
    kernel.tries("x", "/usr/bin")
    kernel.ends() if success is None else kernel.succeeds(success)
    assert [record.search for record in records_of(kernel.reports)] == [None]


def test_the_same_path_again_and_again_is_a_crash_loop_and_no_search(kernel: Kernel) -> None:
    kernel.tries("agent", *["/usr/local/bin"] * 5)
    kernel.ends()
    assert [record.search for record in records_of(kernel.reports)] == [None] * 5


def test_a_loop_around_execvp_makes_a_search_of_each_round(kernel: Kernel) -> None:
    for _ in range(3):
        kernel.tries("agent", "/usr/local/bin", "/usr/bin", "/bin")
    kernel.ends()
    records = records_of(kernel.reports)
    rounds = [one_search(records[at : at + 3]) for at in (0, 3, 6)]
    assert [search.outcome for search in rounds] == ["not-found"] * 3
    assert len({search.id for search in rounds}) == 3


def test_a_directory_that_path_names_twice_does_not_end_the_search(kernel: Kernel) -> None:
    doubled = "PATH=/a:/b/:/a"
    for directory in ("/a", "/b/", "/a"):
        kernel.fails(f"{directory}/ls".replace("//", "/"), variable=doubled)
    kernel.succeeds("/opt/bin/ls")
    assert one_search(records_of(kernel.reports)).tries == 3


def test_empty_and_relative_entries_of_path_are_directories_as_well(kernel: Kernel) -> None:
    """glibc tries an empty entry as the bare name, bash as ./name."""
    for path in ("cmake", "./cmake", "bin/cmake", "../cmake", "/usr/bin/cmake"):
        kernel.fails(path, variable="PATH=:.:bin/:..:/usr//bin/:/usr/bin")
    kernel.ends()
    assert one_search(records_of(kernel.reports)).tries == 5


def test_a_file_of_that_name_that_is_no_program_is_not_hidden_by_the_one_that_ran_next(
    kernel: Kernel,
) -> None:
    """A script falls back: /opt/jdk/bin is no directory of PATH, and execvp(3) ends with ENOEXEC."""
    kernel.fails("/opt/jdk/bin/java", ENOEXEC)
    kernel.succeeds("/usr/bin/java")
    assert [record.search for record in records_of(kernel.reports)] == [None]


@pytest.mark.parametrize("error", [ENOENT, EACCES, ENOEXEC])
def test_what_is_tried_outside_of_path_is_a_row_however_it_goes_on(kernel: Kernel, error: int) -> None:
    kernel.fails("/opt/jdk/bin/java", error)
    kernel.tries("java", "/usr/local/sbin", "/usr/local/bin")
    kernel.fails("/opt/jre/bin/java", error)
    kernel.tries("java", "/usr/local/sbin")
    kernel.succeeds("/usr/bin/java")
    records = records_of(kernel.reports)
    assert (records[0].search, records[3].search) == (None, None)
    assert one_search(records[1:3]).outcome == "not-found"
    assert one_search(records[4:]).outcome == "found"


def test_what_runs_from_outside_of_path_was_not_found_by_the_search(kernel: Kernel) -> None:
    kernel.tries("java", "/usr/local/bin", "/usr/bin")
    kernel.succeeds("/opt/jdk/bin/java")
    assert one_search(records_of(kernel.reports)).outcome == "not-found"


def test_what_runs_from_a_directory_before_the_tried_one_is_another_matter(kernel: Kernel) -> None:
    """A search would have tried /usr/local/bin first."""
    kernel.tries("java", "/usr/bin")
    kernel.succeeds("/usr/local/bin/java")
    assert [record.search for record in records_of(kernel.reports)] == [None]


@pytest.mark.parametrize("error", [ENOEXEC, -7, -26, -40, -1, -12])
def test_an_error_that_ends_execvp_stays_a_row_beside_a_search_that_found(kernel: Kernel, error: int) -> None:
    """Python and dash go on after any error, which may be the one that somebody looks for."""
    kernel.tries("java", "/usr/local/sbin")
    kernel.fails("/usr/local/bin/java", error)
    kernel.tries("java", "/usr/sbin")
    kernel.succeeds("/usr/bin/java")
    records = records_of(kernel.reports)
    assert records[1].search is None
    search = one_search([records[0], records[2]])
    assert (search.outcome, search.found_path) == ("found", "/usr/bin/java")


def test_of_several_errors_that_end_execvp_none_is_folded_under_another(kernel: Kernel) -> None:
    kernel.fails("/a/java", ENOEXEC)
    kernel.fails("/b/java", -40)
    kernel.tries("java", "/c")
    kernel.ends()
    records = records_of(kernel.reports)
    assert records[0].search is None
    assert one_search(records[1:]).outcome == "not-found"
    assert records[1].search is not None and not records[1].search.folded


@pytest.mark.parametrize("name", ["ENOENT", "EACCES", "ENOTDIR", "ENODEV", "ETIMEDOUT", "ESTALE"])
def test_execvp_goes_on_after_these_errors(kernel: Kernel, name: str) -> None:
    kernel.fails("/usr/local/bin/ls", -getattr(errno, name))
    kernel.succeeds("/usr/bin/ls")
    assert one_search(records_of(kernel.reports)).outcome == "found"


@pytest.mark.parametrize(
    ("tried", "found"),
    [
        (["/bin"], "/usr/bin"),  # glibc, Python
        (["/usr/local/bin", "/bin"], "/usr/bin"),  # musl
        (["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin"], "/bin"),  # dash
    ],
)
def test_without_a_path_the_built_in_one_is_searched(kernel: Kernel, tried: list[str], found: str) -> None:
    for directory in tried:
        kernel.fails(f"{directory}/ls", variable="HOME=/root")
    kernel.succeeds(f"{found}/ls")
    assert one_search(records_of(kernel.reports)).outcome == "found"


def test_an_empty_path_is_the_working_directory(kernel: Kernel) -> None:
    kernel.fails("ls", variable="PATH=")
    kernel.fails("/usr/bin/ls", variable="PATH=")
    kernel.ends()
    assert [record.search for record in records_of(kernel.reports)] == [None, None]


@pytest.mark.parametrize(
    "unread",
    [
        {"environment": ("A=b", None)},
        {"environment": ("A=b",), "truncated": Truncated(environment=True)},
        {"environment": (), "arguments_source": "unreadable"},
        {"environment": ("A=b", "PATH=/usr/lo"), "truncated": Truncated(environment_indexes=(1,))},
    ],
)
@pytest.mark.parametrize(
    ("directories", "found", "outcome"),
    [
        (["/opt/x", "/opt/y"], "/bin", None),
        (["/opt/x", "/opt/y"], "/opt/z", None),
        (["/usr/bin"], "/bin", None),
        (["/usr/local/bin", "/usr/bin"], "/bin", "found"),
        (["/usr/local/bin", "/usr/bin"], "/opt/z", "open"),
        (["/usr/local/bin", "/usr/bin"], "/usr/bin", "open"),
    ],
)
def test_where_path_was_not_read_only_the_default_path_makes_a_search(
    kernel: Kernel, unread: dict[str, Any], directories: list[str], found: str, outcome: str | None
) -> None:
    kernel.tries("ls", *directories)
    kernel.succeeds(f"{found}/ls")
    reports = [
        replace(report, **unread) if isinstance(report, ExecFailure) else report for report in kernel.reports
    ]
    assert searches_in(records_of(reports)) == [outcome] * len(directories)


def test_where_path_was_not_read_what_is_outside_of_the_default_path_ends_a_search(
    kernel: Kernel,
) -> None:
    kernel.tries("ls", "/usr/local/bin", "/opt/x", "/usr/bin")
    kernel.succeeds("/bin/ls")
    unread = Truncated(environment=True)
    reports = [
        replace(report, environment=("A=b",), truncated=unread) if isinstance(report, ExecFailure) else report
        for report in kernel.reports
    ]
    assert searches_in(records_of(reports)) == [None] * 3


def test_a_descriptor_of_a_directory_is_no_part_of_path(kernel: Kernel) -> None:
    for name in ("ls", "./ls"):
        kernel.fails(name, variable="PATH=:.:/bin")
    kernel.succeeds("/bin/ls")
    reports = [
        replace(report, dirfd=5) if isinstance(report, ExecFailure) else report for report in kernel.reports
    ]
    assert [record.search for record in records_of(reports)] == [None, None]


def test_what_no_search_makes_is_not_held_back(kernel: Kernel) -> None:
    searches = Searches()
    kernel.fails("/opt/jdk/bin/java")
    (event,) = (each.materialize() for each in expand_bursts(searches.take(kernel.reports, now=0)))
    assert isinstance(event, ExecFailure)
    assert not searches.is_open(event.task, 0)


def test_the_row_of_a_search_is_the_directory_that_gave_eacces(kernel: Kernel) -> None:
    kernel.fails("/usr/local/bin/x")
    kernel.fails("/opt/bin/x", EACCES)
    kernel.fails("/usr/bin/x/x", ENOTDIR)
    kernel.fails("/bin/x")
    kernel.ends()
    records = records_of(kernel.reports)
    search = one_search(records)
    assert records[1].search == search, "execvp(3) reports EACCES, so this try stands for all"
    assert search.attempts[1] == Attempt("/opt/bin/x", EACCES)
    assert search.outcome == "not-found"


def test_a_script_without_an_interpreter_line_is_run_by_dash_and_busybox_through_a_shell(
    kernel: Kernel,
) -> None:
    kernel.tries("script", "/usr/local/bin")
    kernel.fails("/usr/bin/script", ENOEXEC)
    kernel.succeeds("/bin/sh")
    records = records_of(kernel.reports)
    search = one_search(records)
    assert search.outcome == "not-found", "what was found is no program, which an operator wants to know"
    assert records[-1].search == search


def test_a_script_that_no_shell_runs_either_is_distinguished_from_the_shell(kernel: Kernel) -> None:
    kernel.fails("/opt/script", ENOEXEC)
    kernel.fails("/bin/sh")
    kernel.ends()
    assert [record.search for record in records_of(kernel.reports)] == [None, None]


def test_sudo_tries_a_second_name_after_the_first(kernel: Kernel) -> None:
    kernel.tries("cmake3", "/usr/local/bin", "/usr/bin")
    kernel.tries("cmake", "/usr/local/bin")
    kernel.succeeds("/usr/bin/cmake")
    records = records_of(kernel.reports)
    assert one_search(records[:2]).outcome == "not-found"
    assert one_search(records[2:]).outcome == "found"


def test_pythons_subprocess_searches_in_its_vfork_child(kernel: Kernel) -> None:
    """The child is a task of its own; what its parent fails at meanwhile is another matter."""
    kernel.fails("/opt/parent", task=1)
    kernel.tries("git", "/root/bin", "/usr/local/bin", task=2)
    kernel.succeeds("/usr/bin/git", task=2)
    kernel.ends(task=1)
    records = records_of(kernel.reports)
    assert records[0].search is None
    assert one_search(records[1:]).outcome == "found"


def test_two_threads_that_search_at_once_are_kept_apart(kernel: Kernel) -> None:
    for directory in ("/usr/local/bin", "/usr/bin", "/bin"):
        kernel.tries("ls", directory, task=1)
        kernel.tries("ls", directory, task=2)
    kernel.succeeds("/opt/ls", task=2)
    kernel.ends(task=1)
    records = records_of(kernel.reports)
    assert one_search(records[0::2]).outcome == "not-found"
    assert one_search(records[1::2]).outcome == "found"


def test_a_loss_in_between_does_not_end_a_search(kernel: Kernel) -> None:
    kernel.tries("ls", "/usr/local/bin")
    kernel.reports.append(Loss(kernel.now, 132, "ring buffer full"))
    kernel.tries("ls", "/usr/sbin")
    kernel.succeeds("/usr/bin/ls")
    assert one_search(records_of(kernel.reports)).tries == 2


def test_a_search_whose_task_lives_on_ends_two_seconds_after_its_last_try(kernel: Kernel) -> None:
    kernel.tries("ls", "/usr/local/bin", "/usr/bin")
    assert [record.search for record in records_of(kernel.reports, idle=1.9)] == [None, None]
    assert one_search(records_of(kernel.reports, idle=2)).outcome == "open", (
        "/bin may come, if the disk is slow"
    )


@pytest.mark.parametrize(
    ("variable", "directories", "outcome"),
    [
        ("PATH=/a:/b", ["/a", "/b"], "not-found"),
        ("PATH=/a:/b/", ["/a", "/b"], "not-found"),
        ("PATH=/a:", ["/a", "."], "not-found"),
        ("PATH=/a:/b:/c", ["/a", "/b"], "open"),
        ("PATH=/a:/b:/a", ["/a", "/b"], "open"),
        ("PATH=/a:/b:/a", ["/b", "/a"], "open"),
        ("PATH=/a:/b:/a", ["/a", "/b", "/a"], "not-found"),
        ("HOME=/", ["/usr/sbin", "/bin"], "open"),
    ],
)
def test_a_search_whose_task_lives_on_found_nothing_if_it_has_tried_the_last_directory(
    kernel: Kernel, variable: str, directories: list[str], outcome: str
) -> None:
    kernel.tries("ls", *directories, variable=variable)
    assert one_search(records_of(kernel.reports)).outcome == outcome


def test_a_task_whose_path_was_not_read_may_still_find_its_program(kernel: Kernel) -> None:
    kernel.tries("ls", "/usr/bin", "/bin")
    reports = [
        replace(report, environment=("A=b", None)) if isinstance(report, ExecFailure) else report
        for report in kernel.reports
    ]
    assert searches_in(records_of(reports)) == ["open", "open"]


@pytest.mark.parametrize("succeeds", [True, False])
def test_what_comes_more_than_two_seconds_later_is_another_matter(kernel: Kernel, succeeds: bool) -> None:
    kernel.tries("ls", "/usr/local/bin", "/usr/bin")
    kernel.waits(2)
    if succeeds:
        kernel.succeeds("/bin/ls")
    else:
        kernel.fails("/bin/ls")
    records = records_of(kernel.reports)
    assert one_search(records[:2]).outcome == "open"
    assert [record.search for record in records[2:]] == [None] * len(records[2:])


def test_a_storm_that_is_read_late_times_nothing_out(kernel: Kernel) -> None:
    kernel.tries("ls", "/usr/local/bin", "/usr/bin")
    searches = Searches()
    searches.take(kernel.reports, now=0)
    kernel.reports.clear()
    kernel.succeeds("/bin/ls")
    searches.take(kernel.reports, now=60 * SECOND)
    assert {search.outcome for _, search in searches.ended()} == {"found"}


def _fails_at_another(kernel: Kernel) -> None:
    kernel.fails("/opt/y")


def _runs_another(kernel: Kernel) -> None:
    kernel.succeeds("/opt/y")


@pytest.mark.parametrize("go_on", [_fails_at_another, _runs_another, Kernel.ends])
@pytest.mark.parametrize(
    ("variable", "outcome"), [("PATH=/a:/b:/c", "open"), ("PATH=/a:/b", "not-found")], ids=["c", "b"]
)
def test_what_a_task_does_next_does_not_show_that_it_found_nothing_if_ends_were_lost(
    kernel: Kernel, go_on: Callable[[Kernel], None], variable: str, outcome: str
) -> None:
    """/c/x may have run, and failed at something else then."""
    searches = Searches()
    kernel.tries("x", "/a", "/b", variable=variable)
    searches.take(kernel.reports, now=0)
    kernel.reports.clear()
    go_on(kernel)
    searches.take(kernel.reports, now=0, ends_lost=1)
    assert [search.outcome for _, search in searches.ended()] == [outcome] * 2
    kernel.reports.clear()
    kernel.waits(60)
    kernel.tries("x", "/a", "/b", variable=variable)
    go_on(kernel)
    searches.take(kernel.reports, now=60 * SECOND, ends_lost=1)
    searches.give_up()
    assert {search.outcome for _, search in searches.ended()} <= {"not-found"}


def test_a_task_whose_address_is_used_again_goes_on_with_no_search_of_the_one_before(kernel: Kernel) -> None:
    kernel.tries("ls", "/usr/local/bin", "/usr/bin")
    kernel.fails("/bin/ls")
    other = kernel.reports[-1]
    assert isinstance(other, ExecFailure)
    kernel.reports[-1] = replace(other, tid=4711)
    records = records_of(kernel.reports)
    assert one_search(records[:2]).outcome == "open"
    assert records[2].search is None


def test_execs_without_a_name_or_a_task_are_left_alone(kernel: Kernel) -> None:
    kernel.fails(None)
    kernel.fails("")
    kernel.fails("/usr/bin/")
    kernel.tries("ls", "/usr/local/bin", "/usr/bin", task=0)
    kernel.ends(task=0)
    kernel.ends(task=7)
    assert [record.search for record in records_of(kernel.reports)] == [None] * 5


def test_a_search_folds_events_that_have_been_appended_before(kernel: Kernel) -> None:
    kernel.tries("ls", "/usr/local/bin", "/usr/bin")
    searches = Searches(first=100)
    assert searches.take(kernel.reports, now=0) == kernel.reports
    assert searches.ended() == []
    end = SearchEnd(kernel.now + MS, 1, None)
    assert searches.take([end], now=MS) == []
    assert [number for number, _ in searches.ended()] == [100, 101]
    assert searches.ended() == []


def test_many_tries_are_counted_beyond_those_that_are_kept(kernel: Kernel) -> None:
    directories = [f"/{number}" for number in range(300)]
    for directory in directories:
        kernel.fails(f"{directory}/x", variable="PATH=" + ":".join(directories))
    kernel.ends()
    records = apply(kernel.reports, [len(kernel.reports)], idle=0)
    search = records[-1].search
    assert search is not None
    assert (search.tries, len(search.attempts), search.folded) == (300, 256, False)


def test_what_is_held_is_bounded(monkeypatch: pytest.MonkeyPatch, kernel: Kernel) -> None:
    monkeypatch.setattr(limits, "MOST_OPEN", 2)
    # Two tries of two searches, each with a PATH of less than 128 bytes, and one try more.
    monkeypatch.setattr(limits, "MOST_TRIES", 2 * (2 + 1) + 1)
    for task in (1, 2, 3):
        kernel.tries("x", "/a", "/b", task=task)
    searches = Searches()
    events = [each.materialize() for each in expand_bursts(searches.take(kernel.reports, now=0))]
    assert searches_in(events) == ["open", "open", None, None, None, None], "the one that waited longest"
    kernel.reports.clear()
    kernel.tries("x", "/c", "/d", "/e", "/f", task=3)
    searches.take(kernel.reports, now=0)
    assert {search.outcome for _, search in searches.ended()} == {"open"}
    assert not any(searches.is_open(task, number) for task in (1, 2) for number in range(6))


@pytest.mark.parametrize("bound", ["MOST_OPEN", "MOST_TRIES"])
def test_a_user_with_many_open_searches_ends_own_ones(
    monkeypatch: pytest.MonkeyPatch, kernel: Kernel, bound: str
) -> None:
    monkeypatch.setattr(limits, bound, 40)
    kernel.tries("x", "/a", "/b", task=1)
    others = kernel.reports[:]
    kernel.reports.clear()
    for task in range(2, 200):
        kernel.tries("x", "/a", "/b", task=task)
    flood = [replace(report, uid=1000) for report in kernel.reports if isinstance(report, ExecFailure)]
    searches = Searches()
    searches.take([*others, *flood], now=0)
    assert [searches.is_open(1, number) for number in (0, 1)] == [True, True]
    assert sum(searches.is_open(task, 2 * task - 1) for task in range(2, 200)) < 40
    searches.take([SearchEnd(kernel.now + MS, 1, "/bin/x")], now=MS)
    assert {search.outcome for number, search in searches.ended() if number < 2} == {"found"}
    searches.give_up()
    assert searches._open.weight == 0
    assert not searches._open.users


def test_a_user_whose_reports_come_late_is_not_timed_out_by_those_of_others(kernel: Kernel) -> None:
    kernel.tries("x", "/a", "/b")
    late = kernel.reports[:]
    kernel.reports.clear()
    kernel.succeeds("/c/x")
    end = kernel.reports[:]
    kernel.waits(5)
    kernel.fails("/a/y", task=2)
    others = [replace(report, uid=1000) for report in kernel.reports if isinstance(report, ExecFailure)]
    for behind in ({0}, None):
        searches = Searches()
        searches.take(late, now=0)
        searches.take(others, now=0, behind=behind)
        searches.take(end, now=0)
        assert [search.outcome for _, search in searches.ended()] == ["found", "found"]


def test_a_user_who_is_behind_is_timed_out_by_their_own_reports(kernel: Kernel) -> None:
    kernel.tries("x", "/a", "/b")
    searches = Searches()
    searches.take(kernel.reports, now=0)
    kernel.reports.clear()
    kernel.waits(5)
    kernel.fails("/a/y", task=2)
    searches.take(kernel.reports, now=0, behind={0})
    assert [search.outcome for _, search in searches.ended()] == ["open", "open"]


# Files


def written(records: Sequence[ExecFailure]) -> list[ExecFailure]:
    """As they are in a file: without the task, and without what no file has."""
    return [
        replace(
            record,
            task=0,
            search=None if record.search is None else replace(record.search, attempts=(), folded=False),
        )
        for record in records
    ]


def test_a_file_is_folded_as_it_was_on_screen(kernel: Kernel) -> None:
    for directory in ("/usr/local/bin", "/usr/bin", "/bin"):
        kernel.tries("ls", directory, task=1)
        kernel.fails(f"{directory}/x", EACCES if directory == "/usr/bin" else ENOENT, task=2)
        kernel.tries("alone", directory, task=4 + len(directory))
    kernel.succeeds("/opt/ls", task=1)
    kernel.ends(task=2)
    records = records_of(kernel.reports)
    assert [record.search for record in records_of(written(records))] == [record.search for record in records]


def test_two_recordings_in_one_file_may_count_their_searches_alike(kernel: Kernel) -> None:
    kernel.tries("ls", "/usr/local/bin", "/usr/bin")
    kernel.ends()
    records = records_of(kernel.reports)
    twice = records_of(written(records) * 2)
    assert one_search(twice[:2]) == one_search(twice[2:]) == one_search(records)


def test_of_a_search_that_a_filter_cut_the_rest_is_folded(kernel: Kernel) -> None:
    kernel.tries("ls", "/usr/local/bin", "/usr/bin", "/bin")
    kernel.ends()
    records = records_of(written(records_of(kernel.reports))[1:])
    assert [record.search is not None and record.search.folded for record in records] == [True, False]
    assert records[-1].search is not None
    assert (records[-1].search.tries, len(records[-1].search.attempts)) == (3, 2)


# On the way to a file


def searches_in(events: Sequence[Event | Occurrence]) -> list[str | None]:
    records = [event for event in events if isinstance(event, ExecFailure)]
    return [None if record.search is None else record.search.outcome for record in records]


def not_looked_at(_: ExecFailure | Occurrence) -> Look:
    return Look(Diagnosis("not-looked-at", "It was not looked at."))


class Held(HoldBackQueue):
    """Holds back events that need no look."""

    def __init__(self) -> None:
        super().__init__(not_looked_at)

    def put(self, reports: Sequence[Event | Occurrence | SearchEnd], now: int) -> list[Event | Occurrence]:
        wanted = self.take(reports, now)
        self.add_looks([(np.array([number]), not_looked_at(failure)) for number, failure in wanted])
        return self.release(now)

    def release(self, now: int) -> list[Event | Occurrence]:
        self.expire(now)
        return self._all_turns()

    def the_rest(self) -> list[Event | Occurrence]:
        self.give_up()
        return self._all_turns()

    def _all_turns(self) -> list[Event | Occurrence]:
        events: list[Event | Occurrence] = []
        while turn := self.next_turn():
            events += map(plain, turn)
        return events


def plain(event: Event | Occurrence) -> Event | Occurrence:
    event = event.materialize()
    return replace(event, diagnosis=None) if isinstance(event, ExecFailure) else event


def of(reports: Sequence[Report]) -> list[Event | Occurrence | SearchEnd]:
    return list(expand_bursts(reports))


def test_a_try_is_given_back_once_it_is_known_how_its_search_ended(kernel: Kernel) -> None:
    held = Held()
    kernel.tries("ls", "/usr/local/bin", "/usr/bin")
    assert held.put(of(kernel.reports), now=0) == []
    assert held.put([SearchEnd(kernel.now, 2, None)], now=SECOND) == []
    final = held.put([SearchEnd(kernel.now, 1, "/bin/ls")], now=SECOND)
    assert searches_in(final) == ["found", "found"]
    assert [event.timestamp for event in final] == [event.timestamp for event in kernel.reports]
    assert held.the_rest() == []


def test_a_search_that_goes_on_holds_up_nobody_else(kernel: Kernel) -> None:
    held = Held()
    kernel.tries("ls", "/usr/local/bin", "/usr/bin")
    kernel.fails("/opt/x", task=0)
    (only,) = held.put(of(kernel.reports), now=0)
    assert isinstance(only, ExecFailure) and only.path == "/opt/x"


def test_paths_of_thousands_of_directories_take_little_memory(kernel: Kernel) -> None:
    def path_of(task: int) -> str:
        return "PATH=" + ":".join(f"{task}{each:x}" for each in range(1500))

    def take(tasks: range) -> None:
        for task in tasks:
            kernel.fails(f"{task}0/x", task=task, variable=path_of(task))
        searches.take(kernel.reports, now=0)
        kernel.reports.clear()

    searches = Searches()
    take(range(1, 5))
    tracemalloc.start()
    try:
        take(range(100, 250))
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert searches.is_open(249, 4 + 149)
    # With their tables they would be 40 MB.
    assert taken < 16 << 20


def test_no_try_is_held_for_more_than_two_seconds_of_silence(kernel: Kernel) -> None:
    held = Held()
    kernel.tries("ls", "/usr/local/bin", "/usr/bin")
    kernel.tries("alone", "/opt", task=2)
    assert held.put(of(kernel.reports), now=0) == []
    assert held.put([], now=int(1.9 * SECOND)) == []
    assert searches_in(held.put([], now=2 * SECOND)) == ["open", "open", None]


def test_what_has_nothing_to_wait_for_is_given_back_at_once(kernel: Kernel) -> None:
    held = Held()
    kernel.fails("/opt/x", task=0)
    kernel.reports.append(Loss(kernel.now, 1, "ring buffer full"))
    assert sorted(held.put(of(kernel.reports), now=0), key=repr) == kernel.reports


def test_a_look_that_does_not_come_is_waited_for_two_seconds(kernel: Kernel) -> None:
    held = HoldBackQueue(not_looked_at)
    kernel.fails("/opt/x", task=0)
    ((number, _),) = held.take(of(kernel.reports), now=0)
    held.expire(int(1.9 * SECOND))
    assert held.next_turn() == []
    held.expire(2 * SECOND)
    (event,) = held.next_turn()
    assert isinstance(event, ExecFailure) and event.diagnosis == not_looked_at(event).diagnosis
    held.add_looks([(np.array([number]), Look(Diagnosis("late", "It comes too late.")))])
    held.give_up()
    assert held.next_turn() == [] and len(held) == 0


def test_the_end_of_a_recording_leaves_searches_open(kernel: Kernel) -> None:
    held = Held()
    kernel.tries("ls", "/usr/local/bin", "/usr/bin")
    kernel.tries("alone", "/opt", task=2)
    held.put(of(kernel.reports), now=0)
    assert searches_in(held.the_rest()) == ["open", "open", None]


def test_a_storm_of_tasks_that_live_on_is_not_held(monkeypatch: pytest.MonkeyPatch, kernel: Kernel) -> None:
    monkeypatch.setattr("execwhy.tui.recording.held_back.MOST_HELD", 10)
    for task in range(1, 31):
        kernel.tries("x", "/a", "/b", task=task)
    held = Held()
    final = held.put(of(kernel.reports), now=0)
    assert searches_in(final) == ["open"] * 50
    assert len(held.the_rest()) == 10


def test_a_flood_costs_only_the_user_who_makes_it(monkeypatch: pytest.MonkeyPatch, kernel: Kernel) -> None:
    monkeypatch.setattr("execwhy.tui.recording.held_back.MAX_BYTES", 100_000)
    kernel.tries("x", "/a", "/b", task=1)
    victims = [replace(report, uid=7) for report in kernel.reports if isinstance(report, ExecFailure)]
    kernel.reports.clear()
    for task in range(2, 32):
        kernel.fails("/opt/x", task=task, variable="X=" + "x" * 10_000)
    held = Held()
    given_up = held.put([*victims, *of(kernel.reports)], now=0)
    assert given_up
    assert not any(isinstance(event, ExecFailure) and event.uid == 7 for event in given_up)


def test_whoever_has_more_than_a_fair_part_is_held_up(
    monkeypatch: pytest.MonkeyPatch, kernel: Kernel
) -> None:
    monkeypatch.setattr("execwhy.tui.recording.held_back.MAX_BYTES", 100_000)
    held = Held()
    kernel.fails("/opt/y", task=0)
    held.take([replace(one, uid=7) for one in kernel.reports if isinstance(one, ExecFailure)], now=0)
    assert held.held_up == set()
    kernel.reports.clear()
    for task in range(1, 31):
        kernel.fails("/opt/x", task=task, variable="X=" + "x" * 10_000)
    held.take(of(kernel.reports), now=0)
    assert held.held_up == {0}
    assert not any(isinstance(event, ExecFailure) and event.uid == 7 for event in held.release(now=0))
    assert held.held_up == set(), "what was given up makes room"


def test_what_is_held_gives_way_to_what_else_the_process_takes(kernel: Kernel) -> None:
    resident = 0
    held = HoldBackQueue(not_looked_at, Resident(lambda: resident, itertools.count(step=2).__next__))
    for task in range(1, 1001):
        kernel.fails("/opt/x", task=task, variable="X=" + "x" * 10_000)
    held.take(of(kernel.reports), now=0)
    held.expire(now=0)
    assert held.held_up == set()
    resident = 500_000_000
    held.expire(now=0)
    assert held.held_up == {0}


def test_what_waits_for_nothing_any_more_is_found_without_looking_at_what_does(kernel: Kernel) -> None:
    """Ten thousand that wait must not be looked at for each one that is complete."""

    class Counted(dict[int, Any]):
        asked = 0

        def get(self, *key: Any) -> Any:
            Counted.asked += 1
            return super().get(*key)

    held = HoldBackQueue(not_looked_at)
    held._held = Counted()
    for task in range(1, 10_001):
        kernel.fails("/opt/x", task=task)
    wanted = held.take(of(kernel.reports), now=0)
    Counted.asked = 0
    number, failed = wanted[5000]
    held.add_looks([(np.array([number]), not_looked_at(failed))])
    held.take([SearchEnd(kernel.now, failed.task, None)], now=0)
    held.expire(now=0)
    (event,) = held.next_turn()
    assert isinstance(event, ExecFailure) and event.task == failed.task
    assert Counted.asked < 10


def test_those_that_are_alike_share_their_record_when_they_are_given_up(kernel: Kernel) -> None:
    held = HoldBackQueue(not_looked_at)
    kernel.fails("/proc/self/maps", task=0)
    (first,) = [report for report in kernel.reports if isinstance(report, ExecFailure)]
    held.take([Occurrence(first, first.timestamp + at, 7, 7, 0, None) for at in range(10)], now=0)
    held.give_up()
    events = held.next_turn()
    assert len(events) == 10
    assert len({id(event.template) for event in events if isinstance(event, Occurrence)}) == 1


def test_large_records_have_short_turns() -> None:
    ready = Ready()
    for number in range(100):
        ready.put(666, number, 30_000)
    ready.put(7, 100, 500)
    assert ready.next_turn() == [0, 1]
    assert ready.next_turn() == [100]
    assert len(ready) == 98 and ready.bytes == 98 * 30_000
    ready.put(7, 101, 1 << 20)
    ready.put(7, 102, 1)
    assert (ready.next_turn(), ready.next_turn()) == ([2, 3], [101])


def test_what_is_held_is_bounded_in_bytes_too(monkeypatch: pytest.MonkeyPatch, kernel: Kernel) -> None:
    monkeypatch.setattr("execwhy.tui.recording.held_back.MAX_BYTES", 100_000)
    for task in range(1, 31):
        kernel.fails("/opt/x", task=task, variable="PATH=/opt:" + "/x" * 5_000)
    held = Held()
    assert 20 <= len(held.put(of(kernel.reports), now=0)) < 30
    assert held.the_rest()


# Whatever comes


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Report], list[int], list[int]]:
    """Reports of three tasks, the sizes of batches, and how the lost ends grow."""
    kernel = Kernel()
    for _ in range(draw(st.integers(1, 40))):
        task = draw(st.integers(0, 3))
        directory, name = (
            draw(st.sampled_from(["", "/a/", "/b/", "./"])),
            draw(st.sampled_from(["x", "y", ""])),
        )
        kernel.waits(draw(st.sampled_from([0, 0, 0, 0.5, 2])))
        match draw(st.sampled_from(["fails", "fails", "fails", "succeeds", "ends", "loss"])):
            case "fails":
                error = draw(st.sampled_from([ENOENT, EACCES]))
                for _ in range(draw(st.sampled_from([1, 1, 2, 3]))):
                    kernel.fails(directory + name, error, task)
            case "succeeds":
                kernel.succeeds(directory + name, task)
            case "ends":
                kernel.ends(task)
            case "loss":
                kernel.reports.append(Loss(kernel.now, 3, "ring buffer full"))
    steps = draw(st.lists(st.integers(0, 9), max_size=12))
    return (
        kernel.reports,
        [*steps, len(kernel.reports)],
        sorted(draw(st.lists(st.integers(0, 2), max_size=5))),
    )


def batches(
    reports: list[Report], steps: list[int], untold: list[int]
) -> Iterator[tuple[list[Report], int, int]]:
    at = 0
    for index, step in enumerate(steps):
        yield reports[at : at + step], index * SECOND, untold[min(index, len(untold) - 1)] if untold else 0
        at += step


def without_search(events: Sequence[Report]) -> list[Report]:
    return [replace(event, search=None) if isinstance(event, ExecFailure) else event for event in events]


def check_searches(records: Sequence[ExecFailure]) -> None:
    by_id: dict[int, list[ExecFailure]] = {}
    for record in records:
        if record.search is not None:
            by_id.setdefault(record.search.id, []).append(record)
    for tries in by_id.values():
        search = one_search(tries)
        assert len({record.task for record in tries}) == 1
        assert {(record.path or "").rpartition("/")[2] for record in tries} == {search.name}
        places = {record.path for record in tries} | {search.found_path}
        assert len(places - {None}) >= 2


@settings(max_examples=300, deadline=None)
@given(histories())
def test_every_exec_comes_out_once_in_order_and_every_search_adds_up(
    case: tuple[list[Report], list[int], list[int]],
) -> None:
    reports = case[0]
    searches, events = Searches(), list[Event]()
    for batch, now, untold in batches(*case):
        events += [each.materialize() for each in expand_bursts(searches.take(batch, now, untold))]
        for number, search in searches.ended():
            event = events[number]
            assert isinstance(event, ExecFailure)
            assert event.search is None, "the result of a search never changes"
            events[number] = replace(event, search=search)
    assert without_search(events) == [report for report in reports if not isinstance(report, SearchEnd)]
    records = [event for event in events if isinstance(event, ExecFailure)]
    check_searches(records)
    again = records_of(written(records)) if records else []
    assert [record.search for record in again] == [record.search for record in records]


@settings(max_examples=300, deadline=None)
@given(histories())
def test_every_exec_goes_to_the_file_once_with_its_final_search(
    case: tuple[list[Report], list[int], list[int]],
) -> None:
    reports = case[0]
    held, events = Held(), list[Event]()
    for batch, now, untold in batches(*case):
        wanted = held.take(of(batch), now, untold)
        held.add_looks([(np.array([number]), not_looked_at(failure)) for number, failure in wanted])
        events += [each.materialize() for each in held.release(now)]
    events += [each.materialize() for each in held.the_rest()]
    came = [report for report in reports if not isinstance(report, SearchEnd)]
    assert sorted(without_search(events), key=repr) == sorted(came, key=repr)
    check_searches([event for event in events if isinstance(event, ExecFailure)])


@settings(max_examples=500, deadline=None)
@given(histories())
def test_what_comes_again_is_searched_for_as_if_it_had_come_whole(
    case: tuple[list[Report], list[int], list[int]],
) -> None:
    def outcome(reports: list[Report], joined: Callable[[list[Report]], list[Report]] = list) -> list[Event]:
        searches, events = Searches(), list[Event]()
        for batch, now, untold in batches(reports, *case[1:]):
            events += [
                each.materialize() for each in expand_bursts(searches.take(joined(batch), now, untold))
            ]
            for number, search in searches.ended():
                event = events[number]
                assert isinstance(event, ExecFailure)
                events[number] = replace(event, search=search)
        return events

    expected = outcome(case[0])
    assert outcome(again(case[0])) == expected
    assert outcome(again(case[0]), in_bursts) == expected


def again(reports: list[Report]) -> list[Report]:
    firsts: dict[ExecFailure, ExecFailure] = {}

    def likened(report: Report) -> Report:
        if not isinstance(report, ExecFailure):
            return report
        first = replace(report, timestamp=0, pid=0, tid=0, task=1)
        first = firsts.setdefault(first, first)
        return Occurrence(first, report.timestamp, report.pid, report.tid, report.task, report.started)

    return list(map(likened, reports))


def in_bursts(reports: list[Report]) -> list[Report]:
    """Return the reports, with successive ones that differ only in time joined to bursts."""

    def kind(report: Report) -> object:
        return report._replace(timestamp=0) if isinstance(report, Occurrence) else id(report)

    together: list[Report] = []
    for _, group in itertools.groupby(reports, kind):
        repeats = list(group)
        last = repeats[-1]
        if isinstance(last, Occurrence):
            together.append(Burst(last, np.array([report.timestamp for report in repeats])))
        else:
            together += repeats
    return together
