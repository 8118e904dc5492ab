"""No failure makes a diagnosis longer than the monitor has time for."""

from __future__ import annotations

import errno
import os
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execwhy.bpf.caller import mounts
from execwhy.bpf.caller.resolution import End, WalkContext
from execwhy.bpf.caller.walk import MAX_PATH_BYTES, walk
from execwhy.bpf.events.record import Binary, Diagnosis, Look
from execwhy.tui.model.files.json_lines import event_line
from execwhy.tui.why.causes import unseen
from execwhy.tui.why.look import look_at
from execwhy.tui.why.lookers.bounds import MAX_ANSWER, MAX_BRIEF, MAX_FACT, MAX_SENTENCES, within_bounds
from execwhy.tui.why.lookers.fair_queue import Group
from execwhy.tui.why.lookers.grouping import owner_of
from execwhy.tui.why.lookers.seat import Asked, Seat
from execwhy.tui.why.lookers.wire import WireError, framed, look_from_wire, look_to_wire
from execwhy.tui.why.scene import words
from execwhy.tui.why.scene.processes import descriptors, listing
from tests.unit.tui.why.failing import a_failure, failed_exec

TEXT = st.text(st.characters(exclude_categories=[]))


def a_look(*evidence: str, summary: str = "It was looked at.", brief: str = "x", path: str = "/x") -> Look:
    binary = Binary(path, 1, "0:1", 2**64 - 1, 3, 0o100644, "resolved", 0, 0, 5)
    return Look(Diagnosis("code", summary, evidence, None, False, brief), binary)


def bounded(look: Look) -> Look:
    return within_bounds(look, a_failure("/x", errno.ENOENT))


def test_what_is_short_stays_as_it_is() -> None:
    doubts = [words.doubt(f"It is doubt {number}.") for number in range(8)]
    look = a_look(*(f"It is fact {number}." for number in range(8)), *doubts)
    assert bounded(look) == look


def test_the_path_of_an_honest_caller_stays_whole() -> None:
    path = "/" + "/".join(["d" * 250] * 16)
    assert 4000 < len(path) < 4096
    quoted = f"{words.quoted(path)} does not exist."
    assert path in quoted
    look = a_look(quoted, quoted + quoted, summary=quoted, path=path)
    assert bounded(look) == look


def test_of_many_sentences_the_first_are_kept_and_the_others_counted() -> None:
    facts = [f"It is fact {number}." for number in range(30)]
    doubts = [words.doubt(f"It is doubt {number}.") for number in range(1000)]
    *kept, more = bounded(a_look(*facts, *doubts)).diagnosis.evidence
    assert kept == [*facts[: MAX_SENTENCES - 1], doubts[0]], "what is not certain says why"
    assert more == "Not certain: 1,014 more sentences of evidence are left out."
    *kept, more = bounded(a_look(*facts)).diagnosis.evidence
    assert kept == facts[:MAX_SENTENCES]
    assert more == "14 more sentences of evidence are left out."


def test_a_path_is_shortened_by_whole_components() -> None:
    path = "/first/" + "/".join(["d" * 200] * 20) + "/last"
    short = words.quoted_briefly(path)
    assert len(short) <= words.MAX_IN_REMARK + 2
    assert short.startswith('"/first/') and short.endswith('/last"')
    assert set(short.strip('"').split("/")) == {"", "first", "d" * 200, "…", "last"}
    assert len(words.quoted("x" * 100_000)) < 10


@given(st.lists(TEXT.map(lambda text: text * 400), max_size=40), TEXT, st.integers(1, 2000))
def test_no_answer_is_longer_than_the_monitor_takes(evidence: list[str], text: str, times: int) -> None:
    long = text * times
    look = bounded(a_look(*evidence, summary=long, brief=long, path=long))
    payload = look_to_wire(look)
    assert len(payload) <= MAX_ANSWER
    assert look_from_wire(payload) == look


def test_where_even_the_summary_is_too_long_that_is_said() -> None:
    failure = a_failure("/x", errno.ENOENT)
    look = within_bounds(a_look(summary="\udcff" * MAX_ANSWER), failure)
    assert look == unseen.too_long(failure)
    assert bounded(a_look(path="/x" * MAX_FACT)).binary == replace(a_look().binary or Binary, path=None)  # type: ignore[type-var]


@pytest.mark.parametrize(
    "look",
    [
        a_look(*["It is so."] * (MAX_SENTENCES + 2)),
        a_look(brief="x" * (MAX_BRIEF + 1)),
        a_look(path="x" * (MAX_FACT + 1)),
        a_look(summary="x" * MAX_ANSWER),
        a_look(7),  # type: ignore[arg-type]
    ],
)
def test_a_looker_that_answers_with_more_counts_as_gone(look: Look) -> None:
    failure = a_failure("/missing", errno.ENOENT)
    group = Group(owner_of(failure), 1)
    group.add(1, failure)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        seat, asked = Seat(ours, number=1), Asked.for_oldest(group)
        assert seat.ask([asked])
        theirs.sendall(framed(look_to_wire(look), asked.number))
        answered, leaves, is_gone = seat.read()
        if not is_gone:  # it came in two pieces
            answered, leaves, is_gone = seat.read()
    assert (answered, leaves, is_gone) == ([], False, True)


def test_an_answer_of_other_types_is_refused() -> None:
    with pytest.raises(WireError):
        look_from_wire(look_to_wire(replace(a_look(), cgroup=3)))  # type: ignore[arg-type]


LINKS, PER_LINK, NAME = 38, 15, "a" * 236


class Deep:
    """A program many directories deep, of long names, to which ``link`` leads through other links.

    Attributes:
        link: The path of the first link.
        directories: Descriptors of all directories on the way.
    """

    def __init__(self, place: Path, first: str) -> None:
        self.link = place / first / "link"
        (place / first).mkdir()
        self.directories = [os.open(place / first, os.O_RDONLY)]
        way = "/".join([NAME] * PER_LINK)
        for number in range(LINKS):
            last = "program" if number == LINKS - 1 else "link"
            os.symlink(f"{way}/{last}", "link", dir_fd=self.directories[-1])
            for _ in range(PER_LINK):
                os.mkdir(NAME, dir_fd=self.directories[-1])
                self.directories.append(os.open(NAME, os.O_RDONLY, dir_fd=self.directories[-1]))
        os.close(os.open("program", os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=self.directories[-1]))

    def remove(self) -> None:
        """Remove it from its end: no path leads there."""
        *above, last = self.directories
        os.unlink("program", dir_fd=last)
        for number, directory in reversed(list(enumerate(above))):
            os.rmdir(NAME, dir_fd=directory)
            if number % PER_LINK == 0:
                os.unlink("link", dir_fd=directory)
        for directory in self.directories:
            os.close(directory)


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Deep]:
    deep = Deep(tmp_path, "\U0001f600")
    yield deep
    deep.remove()


def test_a_diagnosis_of_a_way_through_hundreds_of_directories_is_short(deep: Deep) -> None:
    failure = failed_exec(deep.link)
    assert failure.error == "EACCES"
    time.sleep(0.05)
    for directory in deep.directories:
        os.fchmod(directory, 0o755)
    look = within_bounds(look_at(failure), failure)
    assert not look.diagnosis.certain
    payload = look_to_wire(look)
    assert len(payload) <= MAX_ANSWER
    assert look_from_wire(payload) == look
    began = time.process_time()
    line = event_line(replace(failure, diagnosis=look.diagnosis), show_secrets=False)
    assert len(line) < 2 * MAX_ANSWER
    assert time.process_time() - began < 5


def test_the_paths_of_a_walk_take_bounded_memory(deep: Deep) -> None:
    top = os.open("/", os.O_PATH)
    try:
        resolution, descriptor = walk(WalkContext(top, mounts.own_mounts()), str(deep.link))
    finally:
        os.close(top)
    assert (resolution.end, descriptor) == (End.OUT_OF_TIME, -1)
    assert len(resolution.steps) > 50
    assert (
        sum({id(step): sys.getsizeof(step.path) for step in resolution.steps}.values()) < 2 * MAX_PATH_BYTES
    )


def test_a_list_of_open_files_takes_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "_pids", lambda: list(range(1000, 1100)))
    monkeypatch.setattr(listing, "numbers_of", lambda pid: list(range(200)))
    link = "/\U0001f600" + "a" * 4000

    def descriptors_of(pid: int, numbers: list[int]) -> list[descriptors.Descriptor]:
        return [descriptors.Descriptor(pid, number, f"{link}/{pid}.{number}") for number in numbers]

    monkeypatch.setattr(listing, "descriptors_of", descriptors_of)
    listed = listing.Listing(0)
    found = sum(1 for _ in listed.named("no such name", float("inf")))
    assert found == 0
    kept = [one for some in listed._by_name.values() for one in some]
    assert 1000 < len(kept) < 2000
    assert listed.left_out is not None and "there is only so much room" in listed.left_out
