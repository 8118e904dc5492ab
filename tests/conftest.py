"""For all tests: none of them depends on how fast the machine is, or on who started them."""

from __future__ import annotations

import signal

from hypothesis import HealthCheck, settings

settings.register_profile(
    "patient", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("patient")

if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    # Under nohup what the tests start would ignore it, too; a handler ends with the exec.
    signal.signal(signal.SIGHUP, lambda _number, _frame: None)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Likewise in the background of a shell that is a script.
    signal.signal(signal.SIGINT, signal.default_int_handler)
