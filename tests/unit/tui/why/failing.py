"""Execs that really fail, in a child that is gone afterwards, and the record that the kernel would write."""

from __future__ import annotations

import dataclasses
import os
import pickle
import time
from collections.abc import Mapping, Sequence
from typing import Any

from execwhy.bpf.caller.lookup import look_up
from execwhy.bpf.caller.namespaces import own_mount_ns
from execwhy.bpf.events.record import ExecFailure
from tests.own_root import own_root
from tests.settled import SETTLED


def failed_exec(
    path: str | os.PathLike[str],
    arguments: Sequence[str] = ("program",),
    environment: Mapping[str, str] | None = None,
    *,
    cwd: str | os.PathLike[str] = "/",
    settled: float = SETTLED,
    user: int | None = None,
) -> ExecFailure:
    """Make an exec fail, this many seconds after everything before, and return its record.

    If a user is given, which requires root, it is the caller.

    Raises:
        AssertionError: The exec did not fail.
    """
    time.sleep(settled)
    path, environment = os.fspath(path), dict(environment or {"PATH": "/usr/bin:/bin"})
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.chdir(cwd)
            if user is not None:
                os.setgroups([])
                os.setresgid(user, user, user)
                os.setresuid(user, user, user)
            os.execve(path, list(arguments), environment)
        except OSError as error:
            os.write(theirs, pickle.dumps((error.errno, time.time_ns())))
        finally:
            os._exit(0)
    os.close(theirs)
    answer = os.read(ours, 4096)
    os.close(ours)
    os.waitpid(child, 0)
    assert answer, f"{path} could be executed"
    number, timestamp = pickle.loads(answer)
    record = ExecFailure(
        timestamp=timestamp,
        path=path,
        return_value=-number,
        pid=child,
        tid=child,
        ppid=os.getpid(),
        arguments=tuple(arguments),
        environment=tuple(f"{name}={value}" for name, value in environment.items()),
        cwd=os.fspath(cwd),
        **(ours_now() | ({} if user is None else _facts_of(user))),
    )
    binary, interpreter = look_up(record, time.time_ns())
    return dataclasses.replace(record, binary=binary, interpreter_path=interpreter)


def _facts_of(user: int) -> dict[str, Any]:
    return {"uid": user, "euid": user, "fsuid": user, "fsgid": user, "groups": (), "capabilities": 0}


def a_failure(path: str | None, error: int, **facts: Any) -> ExecFailure:
    """Return a record, by its facts, of a failure that cannot be made here."""
    known: dict[str, Any] = {"timestamp": time.time_ns(), "cwd": "/", **ours_now(), **facts}
    return ExecFailure(path=path, return_value=-error, **known)


def ours_now() -> dict[str, Any]:
    """Return this process's own credentials and namespace as fields of a record with a proven path."""
    with open("/proc/self/status") as file:
        values = dict(line.split(":", 1) for line in file if ":" in line)
    return {
        "path_source": "kernel",
        "uid": os.getuid(),
        "euid": os.geteuid(),
        "fsuid": os.geteuid(),
        "fsgid": os.getegid(),
        "groups": tuple(os.getgroups()),
        "capabilities": int(values["CapEff"], 16),
        "mount_ns": own_mount_ns(),
        "root": own_root(),
    }
