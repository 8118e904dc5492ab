"""An event source scripted by the test, and records like those of real systems."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from execwhy.bpf.events.arrivals import Event, Report
from execwhy.bpf.events.loss import Loss
from execwhy.bpf.events.record import Ancestor, Binary, Diagnosis, ExecFailure, Truncated
from execwhy.bpf.events.source import Capture, Counters, Origin, Stage, Status
from execwhy.tui.model.files.json_lines import UNREADABLE

START = 1_795_557_012_031_000_000
"""2026-11-24 21:50:12.031 UTC."""


class ScriptedSource:
    """Hands over events that a test gives it, and keeps the app's requests."""

    def __init__(self, events: Sequence[Report] = (), *, stage: Stage = Stage.LIVE, detail: str = "") -> None:
        self._queued: list[Report] = []
        self._recorded = self._lost = self._unreadable = 0
        self.suppressed = 0
        self.waiting = 0
        """Recorded events that a drain has not handed over yet."""
        self.stage = stage
        self.detail = detail
        self.host = "web-1"
        self.captures: list[Capture | None] = []
        self.is_closed = False
        self.looks = 0
        """How often the app has looked for events."""
        self.refuses_capture = ""
        self.give(*events)

    def give(self, *events: Report) -> None:
        """Let these come with the next drain."""
        self._queued += events
        for event in events:
            if isinstance(event, Loss) and event.reason == UNREADABLE:
                self._unreadable += event.count
            elif isinstance(event, Loss):
                self._lost += event.count
            elif isinstance(event, ExecFailure):
                self._recorded += 1

    def start(self) -> None:
        """Do nothing."""

    def drain(self) -> Sequence[Report]:
        """Return what was given."""
        self.looks += 1
        events, self._queued = self._queued, []
        return events

    def status(self) -> Status:
        """Return the stage that the test set, and counters that add up."""
        recorded = self._recorded + self.waiting
        seen = recorded + self.suppressed + self._lost
        losses = {"ring buffer full": self._lost} if self._lost else {}
        counters = Counters(seen, recorded, self.suppressed, self._lost, losses, unreadable=self._unreadable)
        plan = "tracepoint" if self.stage is Stage.LIVE else None
        return Status(self.stage, self.detail, counters, Origin(self.host, "6.1.0-38-amd64", START, plan))

    def set_capture(self, capture: Capture | None) -> None:
        """Keep it."""
        if self.refuses_capture:
            raise ValueError(self.refuses_capture)
        self.captures.append(capture)

    def close(self) -> None:
        """Keep that too."""
        self.is_closed = True


def binary(path: str, mode: int = 0o100755, inode: int = 1835021) -> Binary:
    """Return a file on a root file system, changed three minutes before."""
    return Binary(
        path=path,
        device_id=0xFE00000,
        device="254:0",
        inode_number=inode,
        ctime=START - 190_000_000_000,
        inode_mode=mode,
        source="resolved",
        uid=0,
        gid=0,
        size=1204,
    )


def failure(path: str | None = "/opt/app/run.sh", error: int = 2, **facts: object) -> ExecFailure:
    """Return a failed exec of a web server's worker, with other facts if a test names them."""
    known: dict[str, object] = {
        "timestamp": START,
        "path": path,
        "path_source": "kernel",
        "return_value": -error,
        "arguments": (path or "", "--config", "/etc/app.toml"),
        "environment": ("PATH=/usr/bin:/bin", "HOME=/root", "DB_PASSWORD=hunter2", "LANG=C.UTF-8"),
        "pid": 27420,
        "tid": 27420,
        "ppid": 811,
        "uid": 33,
        "euid": 33,
        "gid": 33,
        "egid": 33,
        "fsuid": 33,
        "fsgid": 33,
        "comm": "bash",
        "parent_comm": "containerd",
        "ancestors": (Ancestor(811, "containerd"), Ancestor(1, "systemd")),
        "cwd": "/",
        "cgroup": "/system.slice/cron.service",
        "unit": "cron.service",
        "mount_ns": 4026531841,
        "pid_ns": 4026531836,
        "stdin_type": 0o020000,
        "stdin_path": "/dev/null",
    }
    known |= {name: facts["pid"] for name in ("tid",) if "pid" in facts}
    known |= {name: facts["uid"] for name in ("gid", "egid", "fsuid", "fsgid") if "uid" in facts}
    return ExecFailure(**{**known, **facts})  # type: ignore[arg-type]


def diagnosed(record: ExecFailure, code: str, brief: str, summary: str, advice: str | None) -> ExecFailure:
    """Return a failure with a diagnosis."""
    evidence = (f"{record.path} was looked at in the caller's mount namespace",)
    return replace(record, diagnosis=Diagnosis(code, summary, evidence, advice, True, brief))


def a_day(count: int = 7) -> list[Event]:
    """Return what happens on a busy host: each class of error, a loss, a truncated environment."""
    shapes: list[tuple[ExecFailure, str, str, str, str | None]] = [
        (
            failure("/opt/app/run.sh", binary=binary("/opt/app/run.sh"), interpreter_path="/usr/bin/pyhton3"),
            "missing-interpreter",
            "interpreter /usr/bin/pyhton3 is missing",
            "The script exists, but the interpreter of its first line does not: /usr/bin/pyhton3.",
            "The nearest name there is /usr/bin/python3.",
        ),
        (
            failure(
                "/opt/backup/nightly", 13, comm="cron", pid=27431, uid=34, euid=34,
                binary=binary("/opt/backup/nightly", 0o100644, 99121),
            ),
            "no-execute-permission",
            "backup may not execute it (rw-r--r--)",
            "backup may not execute /opt/backup/nightly: its mode is rw-r--r--.",
            "chmod +x /opt/backup/nightly",
        ),
        (
            failure(
                "/usr/local/bin/agent", 8, comm="systemd", pid=27440, uid=0, euid=0, unit="agent.service",
                binary=binary("/usr/local/bin/agent", 0o100755, 400123),
            ),
            "foreign-architecture",
            "built for aarch64, this is x86_64",
            "The program was built for aarch64, and this machine is x86_64.",
            None,
        ),
        (
            failure(
                "/docker-entrypoint.sh", 2, comm="containerd-shim", pid=27452, uid=0, euid=0,
                unit="docker.service", container_id="4f9c2a1be07d" + "0" * 52,
                binary=binary("/docker-entrypoint.sh"), interpreter_path="/bin/sh\r",
                environment=(*(f"VARIABLE_{n}=value {n}" for n in range(38)), "PATH=/bin", "TOKEN=x", None),
                truncated=Truncated(environment=True, argc=3, envc=400),
            ),
            "carriage-return",
            "its #! line ends in CR",
            'The script exists, but its first line ends in CR, so the kernel looked for "/bin/sh\\r".',
            "sed -i 's/\\r$//' /docker-entrypoint.sh",
        ),
        (
            failure(
                "/home/deploy/projects/api/node_modules/.bin/tsc", 2, comm="make", pid=27460, uid=1000,
                euid=1000, cwd="/home/deploy/projects/api",
            ),
            "missing-file",
            "node_modules is missing in /home/deploy/projects/api",
            "The directory /home/deploy/projects/api has no node_modules.",
            "npm install makes it.",
        ),
        (
            failure("/opt/app/worker", 26, comm="worker", pid=27466, uid=1000, euid=1000,
                    binary=binary("/opt/app/worker", inode=77)),
            "busy",
            "open for writing by 27301 (rsync)",
            "27301 (rsync) has the file open for writing.",
            None,
        ),
        (
            failure("/usr/bin/find", 7, comm="xargs", pid=4194304, uid=1000, euid=1000,
                    binary=binary("/usr/bin/find", inode=5)),
            "too-big",
            "2,100,412 bytes of arguments, 2,097,152 fit",
            "The arguments take 2,100,412 bytes, and 2,097,152 fit.",
            "Pass fewer at a time: xargs -n.",
        ),
    ]  # fmt: skip
    events: list[Event] = []
    for number in range(count):
        record, code, brief, summary, advice = shapes[number % len(shapes)]
        at = START + number * 613_000_000
        events.append(diagnosed(replace(record, timestamp=at), code, brief, summary, advice))
        if number % 20 == 4:
            events.append(Loss(at + 1_000_000, 132, "ring buffer full"))
    return events
