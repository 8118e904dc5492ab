"""The report of --check: what this kernel allows, which plan is used, and why better ones do not work.

The plan is attached for a moment, since only the kernel knows which of its hooks work.
"""

from __future__ import annotations

import os

from execwhy.bpf.load import support
from execwhy.bpf.load.loader import Loaded, Loader, interpreter
from execwhy.bpf.load.probe import ProbeError
from execwhy.bpf.program.plans import PLANS, Need, Plan
from execwhy.bpf.program.text import Settings

_NEEDS: tuple[Need, ...] = ("BTF", "raw tracepoints", "ring buffer", "kprobes", "trampolines")
_SIZE = 4096
"""Bytes for argv, envp and the ring buffer during the trial."""


def report(plan: str | None, *, all_failures: bool = False, types: str | None = None) -> tuple[str, int]:
    """Return the report, and the exit status: 0 if the monitor can run, otherwise 1.

    Args:
        plan: The value of --plan, or None.
        all_failures: Whether --all-failures was given.
        types: The value of --types, or None.
    """
    system = os.uname()
    lines = [f"{'kernel':<16} {system.release} {system.machine}, uid {os.geteuid()}"]
    try:
        support.check_machine()
    except support.KernelError as error:
        return "\n".join([*lines, f"cannot run: {error}"]), 1
    lines += _line("bcc", _bcc_obstacle())
    for need in _NEEDS:
        lines += _line(need, support.why_not(need))
    lines.append("")
    settings = Settings(plan, _SIZE, _SIZE, _SIZE, all_failures=all_failures, types=types)
    try:
        support.choose(plan)
        loaded = Loader(settings).finish(lambda stage, plan: None)
    except (support.KernelError, ProbeError, OSError) as error:
        for candidate in PLANS:
            lines += _plan_lines(candidate, None)
        return "\n".join([*lines, "", f"cannot run: {error}"]), 1
    loaded.close()
    for candidate in PLANS:
        lines += _plan_lines(candidate, loaded)
    return "\n".join([*lines, "", f"plan {loaded.plan} is used."]), 0


def _line(name: str, obstacle: str | None) -> list[str]:
    return [f"{name:<16} {'yes' if obstacle is None else 'no: ' + obstacle}"]


def _bcc_obstacle() -> str | None:
    try:
        interpreter()
    except ProbeError as error:
        return str(error)
    return None


def _plan_lines(plan: Plan, loaded: Loaded | None) -> list[str]:
    obstacles = support.obstacles(plan)
    if loaded is not None and loaded.plan == plan.name:
        return [
            f"plan {plan.name:<11} chosen",
            *(f"    {hook.kind} {hook.target}: {hook.provides}" for hook, _ in loaded.hooks),
            *(f"    without {hook.kind} {hook.target}: {reason}" for hook, reason in loaded.refused),
        ]
    state = "does not work here" if obstacles else "works"
    lines = [f"plan {plan.name:<11} {state}", *(f"    {reason}" for reason in obstacles)]
    if not obstacles:
        lines += [f"    {hook.kind} {hook.target}: {hook.provides}" for hook in plan.hooks]
    return lines
