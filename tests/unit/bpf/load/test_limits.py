"""A limit that is too low is named with its value."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from execwhy.bpf.load import loader
from execwhy.bpf.load import rlimits as limits
from execwhy.bpf.load.loader import Loader
from execwhy.bpf.load.probe import ProbeError
from execwhy.bpf.load.rlimits import obstacle
from execwhy.bpf.program import headers
from execwhy.bpf.program.text import Settings
from execwhy.tui.terminal import terminal
from tests.unit.waiting import wait_for

PROJECT = Path(__file__).parents[4]
NO_THREAD = RuntimeError("can't start new thread")


def limited(monkeypatch: pytest.MonkeyPatch, **values: int) -> None:
    """Have getrlimit say these values, and no limit else."""
    by_number = {getattr(resource, name): value for name, value in values.items()}
    monkeypatch.setattr(
        limits.resource,  # type: ignore[attr-defined]
        "getrlimit",
        lambda limit: (by_number.get(limit, resource.RLIM_INFINITY),) * 2,
    )


@pytest.mark.parametrize(
    ("error", "values", "sentence"),
    [
        (OSError(errno.EMFILE, ""), {"RLIMIT_NOFILE": 23}, "(ulimit -n is 23): set ulimit -n to 256"),
        (MemoryError(), {"RLIMIT_AS": 100_000 << 10}, "(ulimit -v is 100000): set ulimit -v to"),
        (MemoryError(), {"RLIMIT_DATA": 60_000 << 10}, "(ulimit -d is 60000): set ulimit -d to"),
        (MemoryError(), {}, "there is not enough memory: give it"),
        (OSError("libbcc.so.0: failed to map segment from shared object"), {}, "not enough memory"),
        (NO_THREAD, {"RLIMIT_NPROC": 1}, "(ulimit -u is 1): raise it, or end some"),
        (NO_THREAD, {"RLIMIT_AS": 250_000 << 10}, "ulimit -v is 250000"),
        (BlockingIOError(errno.EAGAIN, ""), {}, "pids.max of the cgroup"),
        (OSError(errno.ENFILE, ""), {}, "fs.file-max"),
    ],
)
def test_the_limit_that_is_too_low_is_named(
    error: Exception, values: dict[str, int], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited(monkeypatch, **values)
    assert sentence in (obstacle(error) or "")
    caused = ImportError("numpy's own words")
    caused.__cause__ = error
    assert obstacle(caused) == obstacle(error)


def test_other_errors_are_not_blamed_on_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    limited(monkeypatch)
    assert obstacle(OSError(errno.ENOENT, "")) is obstacle(RuntimeError("x")) is obstacle(None) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="it asks for root first")
@pytest.mark.parametrize(
    ("commands", "sentence"),
    [
        ("ulimit -v 100000", "ulimit -v is 100000"),
        ("ulimit -n 8", "ulimit -n is 8"),
    ],
)
def test_a_start_with_too_low_a_limit_fails_with_one_sentence(commands: str, sentence: str) -> None:
    run = subprocess.run(
        ["sh", "-c", f"{commands}; exec {sys.executable} -m execwhy.tui.cli.main --record - --duration 1"],
        cwd=PROJECT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (run.returncode, run.stdout) == (1, "")
    assert sentence in run.stderr and run.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("ends", "sentence"),
    [
        ("os.kill(os.getpid(), 9)", r"was killed \(SIGKILL\), as the kernel does where memory runs out"),
        ("os.write(2, b'first\\nlast words'); os.abort()", r"ended with SIGABRT \(last words\): run"),
        ("os._exit(3)", r"ended with status 3: run `execwhy --check`"),
    ],
)
def test_the_end_of_the_compiling_process_is_described(
    ends: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader, "interpreter", lambda: sys.executable)
    monkeypatch.setattr(loader, "_RUN", f"import os; {ends}")
    with pytest.raises(ProbeError, match=sentence):
        Loader(Settings(None, 4096, 4096, 4096)).finish(lambda stage, plan: None)


HOLDS_A_TREE = """
import os, sys, time
from execwhy.bpf.program import headers
headers._PLACES = (sys.argv[1],)
with headers.header_tree() as tree:
    print(tree, flush=True)
    time.sleep(600)
"""


def test_a_header_tree_is_removed_when_its_process_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS_A_TREE, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=PROJECT
    ) as process:
        assert process.stdout is not None
        tree = Path(process.stdout.readline().strip())
        assert (tree / headers.EMPTY).exists()
        process.kill()
    wait_for(lambda: not tree.exists())


def test_a_header_tree_left_behind_is_removed_by_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(headers, "_PLACES", (str(tmp_path),))
    left, young, other, link = (tmp_path / f"execwhy-{n}-abc" for n in range(4))
    notes = tmp_path / "execwhy-notes"
    for directory in (left, young, other, notes):
        (directory / "include").mkdir(parents=True)
    link.symlink_to(notes)
    for directory in (left, other, notes):
        os.utime(directory, (0, 0))
    if os.geteuid() == 0:
        os.chown(other, 65534, 65534)
    with headers.header_tree() as used:
        assert {path.name for path in tmp_path.iterdir()} >= {young.name, link.name, notes.name}
        assert not left.exists()
        assert other.exists() or os.geteuid() != 0
        os.utime(used, (0, 0))
        with headers.header_tree():
            assert Path(used).exists()
    assert not Path(used).exists()


@pytest.mark.parametrize(
    ("claimed", "drawn"), [((80, 24), (80, 24)), ((65535, 65535), (1000, 400)), ((0, 0), (80, 24))]
)
def test_the_screen_is_never_larger_than_can_be_drawn(
    claimed: tuple[int, int], drawn: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LINES", "100000")
    monkeypatch.setattr(os, "get_terminal_size", lambda descriptor: os.terminal_size(claimed))
    assert terminal.size() == drawn
    terminal.forget_claimed_size()
    assert "LINES" not in os.environ
