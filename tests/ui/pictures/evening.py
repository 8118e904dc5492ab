"""The events in the pictures, the same every time, with fixed timestamps."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from execwhy.bpf.events.arrivals import Report, SearchEnd
from execwhy.bpf.events.loss import Loss
from execwhy.bpf.events.record import ExecFailure
from tests.ui.scripted_source import START, a_day, binary, diagnosed, failure

_SECOND: Final = 1_000_000_000

NOW: Final = START + 40 * _SECOND
"""The time in every picture, nanoseconds since 1970: 2026-11-24 21:50:52 UTC."""

PER_SECOND: Final = (*(0,) * 20, *(1, 0, 2, 1, 0) * 4, *(2, 5, 9, 4, 1) * 3, 6, 3, 1, 0, 2)
"""How many execs failed in each second of the minute before: what the status line draws."""

USERS: Final = {0: "root", 33: "www-data", 34: "backup", 1000: "deploy"}


def evening() -> list[Report]:
    """Return failures of every class, a loss, PATH searches, repeats, hostile and long texts."""
    return [*a_day(14), *_services(), *_hostile(), *_searches(), *_crash_loop(), _doubtful()]


def _at(seconds: float) -> int:
    return START + int(seconds * _SECOND)


def _services() -> list[Report]:
    """Return many different failures, so that the table of a large window is full."""
    errors = (2, 13, 8, 40, 20, 26, 7)
    causes = (
        ("missing-file", "the directory bin is missing"),
        ("no-execute-permission", "deploy may not execute it"),
        ("foreign-architecture", "built for aarch64, this is x86_64"),
    )
    return [
        diagnosed(
            failure(
                f"/srv/service-{number:02d}/bin/start", errors[number % len(errors)],
                comm=f"service-{number:02d}", pid=28_000 + number, uid=(1000, 33, 0)[number % 3],
                timestamp=_at(10 + number / 4),
                binary=binary(f"/srv/service-{number:02d}/bin/start", inode=5_000 + number),
            ),
            *causes[number % 3],
            f"Service {number} cannot start.",
            None,
        )
        for number in range(60)
    ]  # fmt: skip


def _hostile() -> list[Report]:
    texts = ("\x1b]0;title\x07", "[red]markup[/]", "日本語のファイル", "\u202egnp.exe")
    return [
        failure(f"/tmp/{text}", 13, comm=text[:15], pid=29_000 + number, timestamp=_at(26 + number))
        for number, text in enumerate(texts)
    ]


def _searches() -> list[Report]:
    """Return one search that found nothing, and one that found its program and is hidden."""
    path = ("PATH=/usr/local/bin:/usr/bin:/bin",)

    def tries(name: str, task: int, directories: tuple[str, ...], at: float) -> list[ExecFailure]:
        return [
            failure(
                f"{directory}/{name}", task=task, tid=task, pid=task, uid=1000, comm="make", environment=path,
                timestamp=_at(at),
            )
            for directory in directories
        ]  # fmt: skip

    return [
        *tries("cmake", 29_500, ("/usr/local/bin", "/usr/bin", "/bin"), 31.0),
        SearchEnd(_at(31.1), 29_500, None, 29_500),
        *tries("ls", 29_501, ("/usr/local/bin",), 31.2),
        SearchEnd(_at(31.3), 29_501, "/usr/bin/ls", 29_501),
        Loss(_at(31.4), 1_234, "ring buffer full"),
    ]


def _crash_loop() -> list[Report]:
    return [
        diagnosed(
            failure("/opt/agent/bin/agent", 8, comm="systemd", pid=30_000 + number, uid=0,
                    unit="agent.service", timestamp=_at(32 + number / 10)),
            "foreign-architecture", "built for aarch64, this is x86_64",
            "The program was built for aarch64, and this machine is x86_64.", None,
        )
        for number in range(20)
    ]  # fmt: skip


def _doubtful() -> ExecFailure:
    directories = "a-directory-with-a-long-name/" * 6
    record = diagnosed(
        failure(f"/srv/{directories}run-it.sh", 2, comm="bash", pid=30_100, timestamp=_at(36),
                binary=binary(f"/srv/{directories}run-it.sh"), interpreter_path="/usr/bin/pyhton3"),
        "missing-interpreter", "interpreter /usr/bin/pyhton3 is missing",
        "The script exists, but the interpreter of its first line does not: /usr/bin/pyhton3.",
        "The nearest name there is /usr/bin/python3.",
    )  # fmt: skip
    assert record.diagnosis is not None
    return replace(record, diagnosis=replace(record.diagnosis, certain=False))
