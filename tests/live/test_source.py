"""The kernel's source from start to close: its stages, and that it leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
import threading
import time
import uuid
from pathlib import Path

from execwhy.bpf.events.source import Capture, Stage
from execwhy.bpf.read.reader import DEFAULT_ARGS_BYTES, DEFAULT_ENV_BYTES, KernelSource
from tests.live.exec_child import PATIENCE
from tests.live.listener import PLAN, Listener, fail_to_exec
from tests.live.zoo import Zoo


def new_source(plan: str | None = PLAN) -> KernelSource:
    return KernelSource(
        plan=plan, max_args_bytes=DEFAULT_ARGS_BYTES, max_env_bytes=DEFAULT_ENV_BYTES, capture=None
    )


def bpf_descriptors() -> list[str]:
    """Return the descriptors of this process that refer to BPF objects."""
    found = []
    for number in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{number}"))
        except FileNotFoundError:
            continue
    return sorted(name for name in found if "bpf" in name or "perf" in name)


def test_no_bpf_object_outlives_its_source() -> None:
    before, threads = bpf_descriptors(), threading.active_count()
    source = new_source()
    Listener(source).start()
    assert len(bpf_descriptors()) > len(before)
    source.close()
    source.close()
    assert bpf_descriptors() == before
    assert threading.active_count() == threads
    assert source.status().stage is Stage.ENDED


def test_a_source_that_is_closed_before_it_is_live_leaves_nothing() -> None:
    before, threads = bpf_descriptors(), threading.active_count()
    source = new_source()
    source.start()
    source.close()
    assert bpf_descriptors() == before
    assert threading.active_count() == threads


def header_trees() -> list[Path]:
    """Return what the loader has made for its compiler."""
    return list(Path("/run").glob(f"execwhy-{os.getpid()}-*"))


def test_a_source_that_is_closed_while_it_compiles_leaves_no_files() -> None:
    source = new_source()
    source.start()
    deadline = time.monotonic() + PATIENCE
    while not header_trees():
        assert time.monotonic() < deadline
        time.sleep(0.001)
    source.close()
    assert header_trees() == []


def test_a_source_that_is_live_leaves_no_files() -> None:
    source = new_source()
    Listener(source).start()
    assert header_trees() == []
    source.close()
    assert header_trees() == []


def test_records_can_be_drained_after_the_source_was_closed() -> None:
    source = new_source()
    listener = Listener(source)
    listener.start()
    fail_to_exec("/execwhy-before-the-end")
    source.close()
    listener.take()
    assert "/execwhy-before-the-end" in [failure.path for failure in listener.failures]
    counters = source.status().counters
    assert counters.recorded == len(listener.failures)
    assert counters.seen == counters.recorded + counters.suppressed + counters.lost


def test_a_plan_that_does_not_exist_fails_with_a_sentence() -> None:
    source = new_source(plan="no-such-plan")
    listener = Listener(source)
    try:
        listener.start()
    except RuntimeError as error:
        assert "no-such-plan" in str(error)
    else:
        raise AssertionError("it started")
    finally:
        source.close()


def test_two_sources_at_once_see_the_same() -> None:
    listeners = [Listener(new_source()) for _ in range(2)]
    path = f"/execwhy-seen-by-both/{uuid.uuid4()}"
    try:
        for listener in listeners:
            listener.start()
        fail_to_exec(path)
        for listener in listeners:
            listener.catch_up()
            paths = [failure.path for failure in listener.failures]
            assert paths.count(path) == 1
    finally:
        for listener in listeners:
            listener.source.close()


def test_a_capture_filter_applies_from_the_first_event(zoo: Zoo) -> None:
    source = new_source()
    source.set_capture(Capture(paths=("/execwhy-wanted",)))
    listener = Listener(source)
    # An exec fails all the time while the hooks are attached, in memory that nobody else could write.
    storm = [zoo / "loop", "fail", "200000000", "/execwhy-unwanted"]
    with subprocess.Popen(storm, stdout=subprocess.DEVNULL) as process:
        try:
            listener.start()
        finally:
            process.kill()
    try:
        fail_to_exec("/execwhy-wanted")
        listener.until(lambda: any(failure.path == "/execwhy-wanted" for failure in listener.failures), "it")
        others = [failure for failure in listener.failures if failure.path != "/execwhy-wanted"]
        # Other programs' execs in shared memory pass any capture; so does one that began before the hooks
        # were there, since its path at that time is unknown.
        assert not any(failure.path_is_proven for failure in others)
        assert [failure.path for failure in others].count("/execwhy-unwanted") <= 1
        assert listener.counters.suppressed >= 1
    finally:
        source.close()
