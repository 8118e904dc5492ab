"""What --check prints: what this kernel allows, which plan follows, and why the better ones do not work."""

from __future__ import annotations

import os

from bpf import kernel
from bpf.loader import interpreter
from bpf.plans import PLANS, Need, Plan
from bpf.probe import ProbeError

_NEEDS: tuple[Need, ...] = ("BTF", "raw tracepoints", "ring buffer", "kprobes", "trampolines")


def report(plan: str | None) -> tuple[str, int]:
    """The report, and the exit status: 0 where the monitor can run, else 1.

    Args:
        plan: The plan that --plan asks for, or None.
    """
    system = os.uname()
    lines = [f"{'kernel':<16} {system.release} {system.machine}, uid {os.geteuid()}"]
    try:
        kernel.check_machine()
    except kernel.KernelError as error:
        return "\n".join([*lines, f"cannot run: {error}"]), 1
    lines += _line("bcc", _bcc_obstacle())
    for need in _NEEDS:
        lines += _line(need, kernel.why_not(need))
    lines.append("")
    chosen = _chosen(plan)
    for candidate in PLANS:
        lines += _plan_lines(candidate, chosen is candidate)
    lines.append("")
    if chosen is None or _bcc_obstacle():
        reason = _bcc_obstacle() or _refusal(plan)
        return "\n".join([*lines, f"cannot run: {reason}"]), 1
    return "\n".join([*lines, f"plan {chosen.name} is used."]), 0


def _line(name: str, obstacle: str | None) -> list[str]:
    return [f"{name:<16} {'yes' if obstacle is None else 'no: ' + obstacle}"]


def _bcc_obstacle() -> str | None:
    try:
        interpreter()
    except ProbeError as error:
        return str(error)
    return None


def _chosen(name: str | None) -> Plan | None:
    try:
        return kernel.choose(name)
    except kernel.KernelError:
        return None


def _refusal(name: str | None) -> str:
    try:
        kernel.choose(name)
    except kernel.KernelError as error:
        return str(error)
    return ""


def _plan_lines(plan: Plan, chosen: bool) -> list[str]:
    obstacles = kernel.obstacles(plan)
    state = "chosen" if chosen else "works" if not obstacles else "does not work here"
    lines = [f"plan {plan.name:<11} {state}"]
    lines += [f"    {reason}" for reason in obstacles]
    if not obstacles:
        lines += [f"    {hook.kind} {hook.target}: {hook.tells}" for hook in plan.hooks]
    return lines
