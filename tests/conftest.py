"""Make all tests independent of the speed of the machine and of how they were started."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator
from typing import Final

import pytest
from hypothesis import HealthCheck, settings

from execwhy import bpf

_CHECKOUT: Final = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
if os.path.dirname(os.path.dirname(os.path.realpath(bpf.__file__))) != _CHECKOUT:
    # The interpreter of another checkout would test the modules of that checkout.
    pytest.exit(
        f"this Python has another execwhy: use {_CHECKOUT}/.venv/bin/python (tools/setup dev)", returncode=4
    )

settings.register_profile(
    "patient", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("patient")

if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    # Under nohup, programs that the tests start would ignore it too; a handler ends with the exec.
    signal.signal(signal.SIGHUP, lambda _number, _frame: None)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # The same holds in the background of a shell script.
    signal.signal(signal.SIGINT, signal.default_int_handler)

_OF_A_PROCESSOR: Final = ("x86", "foreign to this machine")
"""Parts of the reasons that allow root to skip a test."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let a test fail that is skipped although root runs it, as CI does.

    tools/setup or the test itself must provide what is missing. Only features of another processor are
    not tested on this one.
    """
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.geteuid() == 0:
        why = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not any(reason in why for reason in _OF_A_PROCESSOR):
            report.outcome = "failed"
            report.longrepr = f"root skips no test: {why}"
    return report
