"""Storms of many kinds for a scripted source, and late, random diagnoses."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from random import Random

import numpy as np

from execwhy.bpf.events.arrivals import Burst, Occurrence, Report, SearchEnd
from execwhy.bpf.events.loss import Loss
from execwhy.bpf.events.record import Diagnosis, ExecFailure, Truncated
from execwhy.bpf.events.source import Counters, Status
from tests.hostile import SEQUENCES
from tests.ui.scripted_source import ScriptedSource, a_day, binary, failure

_ERRORS = (1, 2, 5, 7, 8, 12, 13, 20, 26, 36, 40)


class StormySource(ScriptedSource):
    """A scripted source that counts what it hands over."""

    def __init__(self) -> None:
        super().__init__()
        self._given = self._missed = 0

    def give(self, *events: Report) -> None:
        """Let these come with the next drain."""
        self._queued += events
        for event in events:
            if isinstance(event, Loss):
                self._missed += event.count
            elif not isinstance(event, SearchEnd):
                self._given += event.event_count

    def status(self) -> Status:
        """Return counters that add up."""
        losses = {"ring buffer full": self._missed} if self._missed else {}
        counters = Counters(self._given + self._missed, self._given, 0, self._missed, losses)
        return replace(super().status(), counters=counters)


class Storms:
    """Makes storms of many kinds.

    Args:
        source: The source that they come from.
        random: The random generator.
    """

    def __init__(self, source: ScriptedSource, random: Random) -> None:
        self._source = source
        self._random = random
        self._kinds: tuple[Callable[[], list[Report]], ...] = (
            self._one_over_and_over,
            self._one_by_one,
            self._many_paths,
            self._unlike,
            self._searches,
            self._losses,
            self._environments,
            self._hostile,
            lambda: list(a_day(random.randrange(1, 40))),
        )
        self._kind = self._kinds[0]

    def step(self) -> None:
        """Let some more come; now and then the kind of storm changes."""
        if self._random.random() < 0.1:
            self._kind = self._random.choice(self._kinds)
        self._source.give(*self._kind())

    def _failure(self, path: str | None, error: int | None = None, **facts: object) -> ExecFailure:
        facts.setdefault("timestamp", time.time_ns() - self._random.randrange(10**9))
        facts.setdefault("uid", self._random.choice((0, 33, 1000, 4294967294)))
        return failure(path, self._random.choice(_ERRORS) if error is None else error, **facts)

    def _one_over_and_over(self) -> list[Report]:
        record = self._failure(f"/storm/{self._random.randrange(5)}", 2, task=9, pid=9)
        now = time.time_ns()
        times = now + np.arange(self._random.randrange(1, 3000), dtype=np.int64) * 1000
        return [record, Burst(Occurrence(record, int(times[-1]), 9, 9, 9, None), times)]

    def _one_by_one(self) -> list[Report]:
        record = self._failure("/storm/one", 13)
        now = time.time_ns()
        return [
            record,
            *(
                Occurrence(record, now + number, 1 + number % 7, 1, 0, None)
                for number in range(self._some(400))
            ),
        ]

    def _many_paths(self) -> list[Report]:
        return [
            self._failure(f"/many/{self._random.randrange(200)}", 2, binary=binary("/many", inode=number))
            for number in range(self._some(200))
        ]

    def _unlike(self) -> list[Report]:
        return [
            self._failure(f"/unlike/{self._random.getrandbits(60)}", comm=f"c{self._random.getrandbits(20)}")
            for _ in range(self._some(200))
        ]

    def _searches(self) -> list[Report]:
        reports: list[Report] = []
        for _ in range(self._some(30)):
            task, name = self._random.randrange(1, 50), self._random.choice(("tool", "cc", "a[/]b"))
            for directory in self._random.sample("abcdef", self._random.randrange(1, 6)):
                reports.append(
                    self._failure(
                        f"/{directory}/{name}",
                        2,
                        task=task,
                        pid=task,
                        environment=("PATH=/a:/b:/c:/d:/e:/f",),
                    )
                )
            if self._random.random() < 0.8:
                found = self._random.choice((None, f"/z/{name}", "/other"))
                reports.append(SearchEnd(time.time_ns(), task, found))
        return reports

    def _losses(self) -> list[Report]:
        reasons = ("ring buffer full", "too deep", "[red]reason[/]")
        return [Loss(time.time_ns(), self._random.randrange(1, 10**6), self._random.choice(reasons))] * (
            self._random.randrange(1, 4)
        )

    def _environments(self) -> list[Report]:
        return [
            self._failure(
                "/huge",
                7,
                arguments=tuple(f"{self._random.getrandbits(50):x}" * 9 for _ in range(100)),
                environment=tuple(f"V{number}={self._random.getrandbits(99)}" for number in range(300)),
                truncated=Truncated(arguments=True, environment=True, argc=10**6, envc=10**5),
            )
            for _ in range(self._some(10))
        ]

    def _hostile(self) -> list[Report]:
        texts = [self._random.choice(SEQUENCES) * self._random.choice((1, 1, 50)) for _ in range(6)]
        path, comm, cwd, unit, argument, variable = texts
        return [
            self._failure(
                f"/x/{path}", comm=comm[:15], cwd=cwd, unit=unit, container_id=unit, parent_comm=comm,
                arguments=(argument,) * 3, environment=(f"TOKEN={variable}", None),
            )
        ] * self._some(5)  # fmt: skip

    def _some(self, most: int) -> int:
        return self._random.randrange(1, most + 1)


def late_diagnoses(seed: int) -> Callable[[ExecFailure], Diagnosis]:
    """Diagnose sooner or later, with one of many causes."""
    random = Random(seed)

    def why(record: ExecFailure) -> Diagnosis:
        if random.random() < 0.02:
            time.sleep(random.random() / 5)
        number = random.randrange(300)
        text = random.choice(SEQUENCES) if number < 30 else f"words {number}"
        brief = "" if number % 3 else text
        return Diagnosis(f"cause-{number}", text, (text,) * (number % 4), text, number % 2 == 0, brief)

    return why
