"""PATH searches of real programs: each is one search, with the tries that strace shows."""

from __future__ import annotations

import fcntl
import re
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from execwhy.bpf.events.arrivals import Event, Occurrence, SearchEnd
from execwhy.bpf.events.loss import Loss
from execwhy.bpf.events.record import ExecFailure, Search, error_name
from execwhy.bpf.read.reader import KernelSource
from execwhy.tui.recording.held_back import HoldBackQueue
from execwhy.tui.why.causes.unseen import ended_before
from tests.live.exec_child import PATIENCE
from tests.live.listener import Listener

_FAILED = re.compile(r'execve\("([^"]*)", .* = -1 (E[A-Z]+)')


class Folding(Listener):
    """Keeps the events as a recording would write them."""

    def __init__(self, source: KernelSource) -> None:
        super().__init__(source)
        self.held_back = HoldBackQueue(ended_before)
        self.final: list[Event] = []

    def _keep(self, event: ExecFailure | Occurrence | Loss | SearchEnd) -> None:
        super()._keep(event)
        # More records of any user may wait behind it.
        wanted = self.held_back.take([event], time.monotonic_ns(), behind=None)
        self.held_back.add_looks((np.array([number]), ended_before(failed)) for number, failed in wanted)
        self._release()

    def _release(self) -> None:
        while turn := self.held_back.next_turn():
            self.final += [each.materialize() for each in turn]

    def of(self, name: str) -> list[ExecFailure]:
        """Return the tries for a name, after the outcome of all of them is known."""
        self.catch_up()
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            self.take()
            self.held_back.take((), time.monotonic_ns())
            self._release()
            wanted = [failure for failure in self.failures if _is_for(failure, name)]
            found = [event for event in self.final if isinstance(event, ExecFailure) and _is_for(event, name)]
            if len(found) == len(wanted):
                return found
            time.sleep(0.1)
        raise TimeoutError(f"{name}: it stays open; {self.source.status()}")


def _is_for(failure: ExecFailure, name: str) -> bool:
    return failure.path is not None and failure.path.rpartition("/")[2] == name


@pytest.fixture(scope="module")
def folding() -> Iterator[Folding]:
    source = KernelSource()
    folding = Folding(source)
    folding.start()
    yield folding
    source.close()


@pytest.fixture
def name() -> str:
    """Return a program name that nothing else uses."""
    return f"program-{uuid.uuid4()}"


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Return a PATH of three empty directories and the system's."""
    directories = [tmp_path / name for name in ("first", "second", "third")]
    for directory in directories:
        directory.mkdir()
    return ":".join([*map(str, directories), "/usr/bin", "/bin"])


def run(command: list[str], path: str, place: Path) -> list[tuple[str, str]]:
    """Run a command and return path and error of each exec of it that failed, as strace saw them."""
    output = place / "strace"
    strace = ["/usr/bin/strace", "-f", "-qq", "-s", "4096", "-e", "trace=execve", "-e", "signal=none"]
    environment = {"PATH": path, "LC_ALL": "C"}
    subprocess.run(
        [*strace, "-o", output, *command], env=environment, cwd=place, capture_output=True, check=False
    )
    lines = output.read_text().splitlines()
    return [(match[1], match[2]) for line in lines if (match := _FAILED.search(line))]


def tries_of(search: Search) -> list[tuple[str, str]]:
    return [(attempt.path, error_name(attempt.return_value)) for attempt in search.attempts]


def the_search(tries: list[ExecFailure]) -> tuple[ExecFailure, Search]:
    """Return the row that represents all tries, and their search."""
    standing = [t for t in tries if t.search is not None and not t.search.folded]
    assert len(standing) == 1, f"{len(standing)} rows for one search"
    search = standing[0].search
    assert search is not None
    assert all(t.search is not None and t.search.id == search.id for t in tries)
    assert search.tries == len(tries)
    return standing[0], search


SEARCHERS: dict[str, Callable[[str], list[str]]] = {
    "env": lambda name: ["/usr/bin/env", name],
    "nice": lambda name: ["/usr/bin/nice", name],
    "timeout": lambda name: ["/usr/bin/timeout", "60", name],
    "nohup": lambda name: ["/usr/bin/nohup", name],
    "setsid": lambda name: ["/usr/bin/setsid", "--wait", name],
    "xargs": lambda name: ["/bin/sh", "-c", f"echo x | /usr/bin/xargs {name}"],
    "find": lambda name: ["/usr/bin/find", ".", "-maxdepth", "0", "-exec", name, ";"],
    "dash's exec": lambda name: ["/bin/dash", "-c", f"exec {name}"],
    "busybox env": lambda name: ["/bin/busybox", "env", name],
    "busybox timeout": lambda name: ["/bin/busybox", "timeout", "60", name],
    "busybox xargs": lambda name: ["/bin/sh", "-c", f"echo x | /bin/busybox xargs {name}"],
    "busybox sh's exec": lambda name: ["/bin/busybox", "sh", "-c", f"exec {name}"],
    "sudo env": lambda name: ["/bin/sh", "-c", f'/usr/bin/sudo /usr/bin/env "PATH=$PATH" {name}'],
    "perl's system": lambda name: ["/usr/bin/perl", "-e", f"system {{'{name}'}} '{name}'"],
    "perl's exec": lambda name: ["/usr/bin/perl", "-e", f"exec '{name}', 'x'"],
    "Python's subprocess": lambda name: [
        sys.executable, "-I", "-c", f"import subprocess; subprocess.run([{name!r}])",
    ],
    "posix_spawnp": lambda name: [
        sys.executable, "-I", "-c", f"import os; os.posix_spawnp({name!r}, [{name!r}], dict(os.environ))",
    ],
}  # fmt: skip


@pytest.mark.parametrize("searcher", SEARCHERS)
def test_a_program_that_is_nowhere_is_one_search(
    searcher: str, folding: Folding, name: str, path: str, tmp_path: Path
) -> None:
    seen = [call for call in run(SEARCHERS[searcher](name), path, tmp_path) if call[0].endswith(name)]
    assert len(seen) == 5
    row, search = the_search(folding.of(name))
    assert (search.outcome, search.name, search.found_path) == ("not-found", name, None)
    assert tries_of(search) == seen
    assert row.error == "ENOENT"


@pytest.mark.parametrize("searcher", SEARCHERS)
def test_a_program_in_the_third_directory_is_found_after_two_tries(
    searcher: str, folding: Folding, name: str, path: str, tmp_path: Path
) -> None:
    program = tmp_path / "third" / name
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    seen = [call for call in run(SEARCHERS[searcher](name), path, tmp_path) if call[0].endswith(name)]
    _, search = the_search(folding.of(name))
    assert (search.outcome, search.found_path, search.tries) == ("found", str(program), 2)
    assert tries_of(search) == seen


LOOK_FIRST: dict[str, Callable[[str], list[str]]] = {
    "bash": lambda name: ["/bin/bash", "-c", f"{name}; exec {name}"],
    "dash": lambda name: ["/bin/dash", "-c", f"{name}; true"],
    "busybox sh": lambda name: ["/bin/busybox", "sh", "-c", f"{name}; true"],
    "sudo": lambda name: ["/usr/bin/sudo", name],
    "make": lambda name: ["/usr/bin/make", "-s", f"--eval=all:;-{name} x"],
    "git": lambda name: ["/usr/bin/git", name],
}


@pytest.mark.parametrize("caller", LOOK_FIRST)
def test_a_program_that_checks_before_executing_leaves_no_row_for_a_missing_name(
    caller: str, folding: Folding, name: str, path: str, tmp_path: Path
) -> None:
    """These programs search PATH with stat(2): neither strace nor execwhy sees an exec that fails."""
    assert not [call for call in run(LOOK_FIRST[caller](name), path, tmp_path) if name in call[0]]
    assert folding.of(name) == []


def test_two_searches_of_one_task_in_a_row_are_two_rows(
    folding: Folding, name: str, path: str, tmp_path: Path
) -> None:
    script = f"""
import os
for name in "{name}", "other-{name}":
    try: os.execvp(name, [name])
    except OSError: pass
"""
    seen = run([sys.executable, "-I", "-c", script], path, tmp_path)
    for each in (name, f"other-{name}"):
        _, search = the_search(folding.of(each))
        assert tries_of(search) == [call for call in seen if call[0].endswith(f"/{each}")]
        assert (search.outcome, search.tries) == ("not-found", 5)


def test_a_file_in_the_middle_of_a_search_that_may_not_be_executed_is_its_row(
    folding: Folding, name: str, path: str, tmp_path: Path
) -> None:
    (tmp_path / "second" / name).touch(0o644)
    run(["/usr/bin/env", name], path, tmp_path)
    row, search = the_search(folding.of(name))
    assert (row.path, row.error) == (f"{tmp_path}/second/{name}", "EACCES")
    assert (search.outcome, search.tries) == ("not-found", 5)


def test_empty_and_relative_path_entries_are_tries_too(
    folding: Folding, name: str, path: str, tmp_path: Path
) -> None:
    seen = run(["/usr/bin/env", name], f":first:{path}", tmp_path)
    _, search = the_search(folding.of(name))
    assert tries_of(search) == [call for call in seen if call[0].endswith(name)]
    assert [attempt.path for attempt in search.attempts][:2] in (
        [f"./{name}", f"first/{name}"],
        [name, f"first/{name}"],
    )


def test_a_loop_over_one_path_is_not_a_search(folding: Folding, name: str, tmp_path: Path) -> None:
    script = f"""
import os
for _ in range(5):
    try: os.execv("/nowhere/{name}", ["x"])
    except OSError: pass
"""
    subprocess.run([sys.executable, "-I", "-c", script], check=True)
    tries = folding.of(name)
    assert len(tries) == 5
    assert [t.search for t in tries] == [None] * 5


def test_simultaneous_searches_of_threads_are_separate(
    folding: Folding, name: str, path: str, tmp_path: Path
) -> None:
    threads = 4
    script = f"""
import os, threading
barrier = threading.Barrier({threads})
def search(number):
    barrier.wait()
    for directory in os.environ["PATH"].split(":"):
        try: os.execv(f"{{directory}}/{name}", [str(number)])
        except OSError: pass
work = [threading.Thread(target=search, args=(n,)) for n in range({threads})]
for one in work: one.start()
for one in work: one.join()
"""
    subprocess.run([sys.executable, "-I", "-c", script], env={"PATH": path}, check=True)
    tries = folding.of(name)
    assert len(tries) == 5 * threads
    by_thread = {t.tid: [other for other in tries if other.tid == t.tid] for t in tries}
    assert len(by_thread) == threads
    for one in by_thread.values():
        _, search = the_search(one)
        assert (search.tries, search.outcome) == (5, "not-found")


@pytest.mark.parametrize(("tried", "outcome"), [(4, "open"), (5, "not-found")])
def test_a_living_task_that_has_tried_all_of_path_has_found_nothing(
    folding: Folding, name: str, path: str, tried: int, outcome: str
) -> None:
    script = f"""
import os
for directory in os.environ["PATH"].split(":")[:{tried}]:
    try: os.execv(f"{{directory}}/{name}", ["x"])
    except OSError: pass
print("tried", flush=True)
input()
"""
    with subprocess.Popen(
        [sys.executable, "-I", "-c", script],
        env={"PATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == b"tried\n"
        _, search = the_search(folding.of(name))
        process.kill()
    assert (search.outcome, search.tries) == (outcome, tried)


def test_a_search_whose_next_exec_is_delayed_is_open(
    folding: Folding, name: str, path: str, tmp_path: Path
) -> None:
    """A lease delays the exec that succeeds, like a slow network disk."""
    program = tmp_path / "third" / name
    program.write_bytes(Path("/bin/true").read_bytes())
    program.chmod(0o755)
    held_up: list[int] = []
    before = signal.signal(signal.SIGIO, lambda *_: held_up.append(1))
    try:
        with program.open("rb") as file:
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
            with subprocess.Popen(["/usr/bin/env", name], env={"PATH": path}) as process:
                deadline = time.monotonic() + PATIENCE
                while not held_up and time.monotonic() < deadline:
                    time.sleep(0.01)
                _, search = the_search(folding.of(name))
                assert process.poll() is None
                fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    finally:
        signal.signal(signal.SIGIO, before)
    assert process.returncode == 0, "it was found in the end"
    assert (search.outcome, search.tries, search.found_path) == ("open", 2, None)


_SEARCHER = """
import os, sys, time
os.setgroups([])
os.setuid(int(sys.argv[1]))
for _ in range(150):
    if not os.fork():
        try:
            os.execvpe(sys.argv[2], (sys.argv[2],), {"PATH": sys.argv[3]})
        finally:
            os._exit(0)
    os.wait()
    time.sleep(0.01)
"""


def test_searches_of_two_users_stay_complete_if_they_are_read_late(
    folding: Folding, name: str, tmp_path: Path
) -> None:
    # Tasks that end give their memory to the next ones, of any user.
    path = ":".join([*(f"/execwhy-none/{number}" for number in range(8)), str(tmp_path)])
    (tmp_path / name).symlink_to("/bin/true")
    for directory in (tmp_path, *tmp_path.parents[:-1]):
        directory.chmod(directory.stat().st_mode | 0o011)
    running = [
        subprocess.Popen([sys.executable, "-I", "-c", _SEARCHER, str(uid), name, path], cwd="/")
        for uid in (61_301, 61_302)
    ]
    assert [process.wait() for process in running] == [0, 0]
    tries = folding.of(name)
    assert len(tries) == 2 * 150 * 8
    searches = Counter((one.pid, one.search and (one.search.outcome, one.search.tries)) for one in tries)
    assert set(searches.values()) == {8}
    assert {search for _, search in searches} == {("found", 8)}


def test_a_broken_program_is_not_hidden_by_a_working_one_of_the_same_name(
    folding: Folding, name: str, path: str, tmp_path: Path
) -> None:
    """A script that falls back to the program on PATH tries a file of its own first."""
    own = tmp_path / "jdk" / name
    own.parent.mkdir()
    own.write_text("text\n")
    own.chmod(0o755)
    program = tmp_path / "third" / name
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    script = f"""
import os
try: os.execv("{own}", ["x"])
except OSError: pass
os.execvp("{name}", ["x"])
"""
    run([sys.executable, "-I", "-c", script], path, tmp_path)
    first, *tries = folding.of(name)
    assert (first.path, first.error, first.search) == (str(own), "ENOEXEC", None)
    _, search = the_search(tries)
    assert (search.outcome, search.found_path, search.tries) == ("found", str(program), 2)


def test_a_broken_program_in_path_is_a_row_although_python_continues(
    folding: Folding, name: str, path: str, tmp_path: Path
) -> None:
    for directory, text in (("second", "text\n"), ("third", "#!/bin/sh\n")):
        program = tmp_path / directory / name
        program.write_text(text)
        program.chmod(0o755)
    run([sys.executable, "-I", "-c", f"import os; os.execvp({name!r}, ['x'])"], path, tmp_path)
    first, second = folding.of(name)
    assert (second.error, second.search) == ("ENOEXEC", None)
    assert first.search is not None and first.search.outcome == "found"
