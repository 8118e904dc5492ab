"""One live source for all tests. If BPF cannot run, the tests fail: skipping would prove nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.live.listener import PLAN, Listener
from tests.live.zoo import Zoo, built_zoo
from tests.own_root import own_root


@pytest.fixture(scope="session", autouse=True)
def root() -> None:
    """Require root: nothing here works without it."""
    if os.geteuid() != 0:
        pytest.fail("live tests load BPF programs and change who they are: run them as root")


@pytest.fixture(scope="session")
def zoo() -> Iterator[Zoo]:
    """Yield files that cannot be executed, and programs that make execs fail."""
    with built_zoo() as zoo:
        yield zoo


@pytest.fixture
def listener(listener_of_all: Listener) -> Listener:
    """Return the shared listener, after the events of other tests have arrived."""
    listener_of_all.settle()
    return listener_of_all


@pytest.fixture(scope="session")
def listener_of_all() -> Iterator[Listener]:
    """Yield the one source that all tests share, except those that need another."""
    from execwhy.bpf.read.reader import DEFAULT_ARGS_BYTES, DEFAULT_ENV_BYTES, KernelSource

    source = KernelSource(
        plan=PLAN, max_args_bytes=DEFAULT_ARGS_BYTES, max_env_bytes=DEFAULT_ENV_BYTES, capture=None
    )
    listener = Listener(source)
    try:
        listener.start()
    except RuntimeError as error:
        pytest.fail(f"no BPF here, so nothing can be proved: {error}")
    yield listener
    source.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what a failure in a chroot may come from: nothing is skipped there."""
    if terminalreporter.stats.get("failed") and own_root() != "/":
        terminalreporter.write_line(
            "The root directory is that of a chroot: there the kernel makes no user namespace, and unshare no"
            " mount namespace. tests/run and make live leave it for one of their own."
        )
