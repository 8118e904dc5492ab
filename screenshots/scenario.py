"""Execs that fail as they do on a web server's bad evening, each made for real, and recorded.

Run as root; everything happens in a mount namespace of its own, below which nothing of the machine
is touched.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import signal
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from execwhy.bpf.events.arrivals import Report, SearchEnd, expand_bursts
from execwhy.bpf.events.loss import Loss
from execwhy.bpf.events.record import ExecFailure
from execwhy.bpf.events.source import Stage
from execwhy.bpf.read.reader import KernelSource
from execwhy.tui.why.causes import diagnose

_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNS: Final = 0x20000
_MS_NOEXEC: Final = 8
_MS_REC_PRIVATE: Final = 0x4000 | 0x40000
_PR_SET_NAME: Final = 15
_AARCH64: Final = 183

_PATIENCE: Final = 60.0
"""Seconds in which an exec that failed is to be recorded."""

APP: Final = (
    "PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8", "HOME=/opt/app", "USER=www-data",
    "APP_ENV=production", "DB_PASSWORD=hunter2", "DB_URL=postgres://app:hunter2@db-1/app", "PORT=8080",
)  # fmt: skip
BUILD: Final = (
    "PATH=/home/ci/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt/tools/bin",
    "HOME=/home/ci", "MAKELEVEL=1", "GITHUB_TOKEN=ghp_0123456789abcdefghijklmnopqrstuvwxyz",
)  # fmt: skip


@dataclass(frozen=True)
class Attempt:
    """One exec: by whom, of what. ``parents`` are the comms above it, outermost first."""

    comm: str
    user: str
    argv: Sequence[str]
    envp: Sequence[str] = APP
    cwd: str = "/"
    parents: Sequence[str] = ("cron",)
    path: str | None = None
    search: bool = False
    pause: float = 0.0


ATTEMPTS: Final = (
    Attempt("bash", "www-data", ["/opt/app/run.sh", "--port", "8080"], parents=("systemd", "runsvdir")),
    Attempt("cron", "backup", ["/opt/backup/nightly", "--full"], pause=0.09),
    Attempt("make", "man", ["helm", "upgrade", "web"], BUILD, search=True, parents=("runner", "sh")),
    Attempt("systemd", "root", ["/usr/local/bin/agent"], ("PATH=/usr/bin:/bin",), pause=0.8),
    Attempt("gunicorn", "www-data", ["/srv/uploads/import.pl", "a.csv"], pause=0.37),
    Attempt(
        "runc:[2:INIT]", "root", ["/docker-entrypoint.sh", "--config", "/etc/app.toml"],
        ("PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/root", "DB_PASSWORD=hunter2", "LOG_LEVEL=info"),
        parents=("systemd", "systemd", "containerd", "containerd-shim", "runc", "runc:[1:CHILD]"), pause=0.37,
    ),
    Attempt("sh", "backup", ["/home/ci/bin/release", "v2.4.1"], pause=1.2),
    Attempt(
        "worker", "www-data", ["/opt/app/worker", "--queue", "mail"], parents=("supervisord",), pause=0.6
    ),
    Attempt("php-fpm", "www-data", ["/opt/app/current/bin/thumb", "in.png"], pause=0.21),
    Attempt("sshd", "mail", ["/opt/tools/bin/mailq.sh"], pause=0.5),
    Attempt(
        "xargs", "root", ["/opt/tools/bin/report"], ("PATH=/usr/bin", "NOTE=" + "x" * 140_000), pause=0.4
    ),
    Attempt("logrotate", "root", ["/etc/cron.daily"], pause=0.3),
    Attempt("dpkg", "root", ["/opt/tools/bin/postinst", "configure"], pause=0.33),
    Attempt("node", "www-data", ["./scripts/migrate.js"], cwd="/opt/app", pause=0.14),
)  # fmt: skip


_LOOPS: Final = (
    (Attempt("systemd", "root", ["/usr/local/bin/agent"], ("PATH=/usr/bin:/bin",)), 2),
    (Attempt("bash", "www-data", ["/opt/app/run.sh"], parents=("systemd", "runsvdir")), 3),
    (Attempt("php-fpm", "www-data", ["/opt/app/current/bin/thumb", "in.png"]), 5),
    (Attempt("worker", "www-data", ["/opt/app/worker"], parents=("supervisord",)), 7),
    (Attempt("cron", "backup", ["/opt/backup/nightly", "--full"]), 31),
    (Attempt("sshd", "mail", ["/opt/tools/bin/mailq.sh"]), 43),
)
"""What supervisors try again and again, and after how many steps each."""

STORM: Final = tuple(
    replace(attempt, pause=0.06)
    for step in range(220)
    for attempt, every in _LOOPS
    # The last minute of the agent is a fresh trouble: it began to fail halfway.
    if step % every == 0 and (step > 120 or every > 2)
)
"""A minute of crash loops."""


def _write(path: str, content: bytes, mode: int) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(content)
    os.chmod(path, mode)


def prepare() -> None:
    """Put the broken files in place, below mounts that end with this process.

    Raises:
        OSError: This needs root.
    """

    def check(result: int) -> None:
        if result < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    check(_LIBC.unshare(_CLONE_NEWNS))
    check(_LIBC.mount(b"none", b"/", None, _MS_REC_PRIVATE, None))
    for place, flags in (("/opt", 0), ("/srv", _MS_NOEXEC), ("/usr/local", 0), ("/home", 0)):
        check(_LIBC.mount(b"tmpfs", place.encode(), b"tmpfs", flags, b"mode=755"))
    elf = struct.pack(
        "<4sBBBB8xHHIQQQIHHHHHH", b"\x7fELF", 2, 1, 1, 0, 2, _AARCH64, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0
    )
    _write("/opt/app/run.sh", b"#!/usr/bin/pyhton3\nimport app\n", 0o755)
    _write("/opt/backup/nightly", b"#!/bin/sh\n", 0o644)
    _write("/usr/local/bin/agent", elf + bytes(4096), 0o755)
    _write("/srv/uploads/import.pl", b"#!/usr/bin/perl\n", 0o755)
    _write("/opt/entry/docker-entrypoint.sh", b'#!/bin/sh\r\nexec "$@"\r\n', 0o755)
    _write("/home/ci/bin/release", b"#!/bin/sh\n", 0o755)
    os.chmod("/home/ci", 0o700)
    _write("/opt/app/worker", elf, 0o755)
    os.symlink("releases/41", "/opt/app/current")
    _write("/opt/tools/bin/mailq.sh", b"mailq | tail\n", 0o755)
    _write("/opt/tools/bin/report", b"#!/bin/sh\n", 0o755)
    _write("/opt/tools/bin/postinst", b"", 0o755)
    _write("/opt/app/scripts/migrate.mjs", b"#!/usr/bin/env node\n", 0o755)
    # A container's root: its entry point lies at the top.
    os.makedirs("/opt/entry/etc", exist_ok=True)


def _name(comm: str) -> None:
    _LIBC.prctl(_PR_SET_NAME, comm.encode()[:15] + b"\0", 0, 0, 0)


def _exec(attempt: Attempt) -> None:
    entry = pwd.getpwnam(attempt.user)
    if attempt.comm.startswith("runc"):
        os.chroot("/opt/entry")
    null = os.open("/dev/null", os.O_RDWR) if os.path.exists("/dev/null") else -1
    if null >= 0:
        os.dup2(null, 0)
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)
    os.chdir(attempt.cwd)
    _name(attempt.comm)
    environment = dict(variable.split("=", 1) for variable in attempt.envp)
    try:
        if attempt.search:
            os.execvpe(attempt.argv[0], list(attempt.argv), environment)
        os.execve(attempt.path or attempt.argv[0], list(attempt.argv), environment)
    except OSError:
        pass


def _in_child(comms: Sequence[str], work: Callable[[], None]) -> None:
    """Do it in a process below as many others as there are names."""
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
        return
    try:
        if comms:
            _name(comms[0])
            _in_child(comms[1:], work)
        else:
            work()
    finally:
        os._exit(127)


def _ours(reports: Iterable[Report]) -> Iterator[ExecFailure | SearchEnd]:
    """What the scenario's own execs brought, of all that failed on the machine meanwhile.

    Diagnosed at once, as the screen does it: while the causes are still there. The processes that the
    scenario itself was started from are left out.
    """
    here = os.stat("/proc/self/ns/mnt").st_ino
    for report in reports:
        if isinstance(report, SearchEnd):
            yield report
        elif isinstance(report, Loss):
            continue
        elif report.template.mount_ns == here:
            for each in expand_bursts([report]):
                failure = each.materialize()
                assert isinstance(failure, ExecFailure)
                above = [ancestor.pid for ancestor in failure.ancestors]
                kept = above.index(os.getpid()) if os.getpid() in above else len(above)
                # All of them run in the scenario's own cgroup, which is the root to them.
                yield replace(
                    failure, diagnosis=diagnose(failure), ancestors=failure.ancestors[:kept], cgroup="/"
                )


def _await_one(source: KernelSource, reports: list[ExecFailure | SearchEnd]) -> None:
    """Add what an exec brings.

    Raises:
        SystemExit: Nothing came.
    """
    until = time.monotonic() + _PATIENCE
    before = len(reports)
    while not any(isinstance(report, ExecFailure) for report in reports[before:]):
        if time.monotonic() > until:
            raise SystemExit("screenshots: the machine is too busy to record all of it: run it again later.")
        source.wait(0.05)
        reports += _ours(source.drain())


def record(attempts: Sequence[Attempt]) -> list[ExecFailure | SearchEnd]:
    """Make them fail, and return what the kernel reported, diagnosed."""
    source = KernelSource()
    source.start()
    while (status := source.status()).stage is not Stage.LIVE:
        if status.stage is Stage.FAILED:
            raise SystemExit(f"screenshots: {status.detail}")
        source.wait(0.05)
    source.drain()
    # rsync is still writing the worker while it is to run.
    writer = os.fork()
    if not writer:
        _name("rsync")
        held = os.open("/opt/app/worker", os.O_WRONLY)
        signal.pause()
        os.close(held)
        os._exit(0)
    time.sleep(0.3)
    try:
        reports: list[ExecFailure | SearchEnd] = []
        for attempt in attempts:
            time.sleep(attempt.pause)
            _in_child(attempt.parents, lambda attempt=attempt: _exec(attempt))  # type: ignore[misc]
            _await_one(source, reports)
    finally:
        os.kill(writer, signal.SIGKILL)
        os.waitpid(writer, 0)
        source.close()
    return reports
