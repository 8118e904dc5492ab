"""The kernels that are booted, how, and what is tested in each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from execwhy.bpf.program.plans import NAMES


@dataclass(frozen=True)
class Boot:
    """One boot of a kernel.

    Attributes:
        series: "6.1", as ``tools/kernels`` has installed it.
        levels: Page-table levels: 5 if the kernel is built for them and started without ``no5lvl``.
        append: More of the kernel's command line.
        plans: The plans that are tested with every kind of failure.
        once: Further checks, by their names in ``tests.kernels.once``.
    """

    series: str
    levels: int
    append: tuple[str, ...] = ()
    plans: tuple[str, ...] = NAMES
    once: tuple[str, ...] = ()


BOOTS: Final = {
    # The longest first: two guests run at once.
    "6.1": Boot("6.1", 4, ("no5lvl",), once=("page tables", "types from headers")),
    "6.12": Boot(
        "6.12",
        5,
        once=(
            "page tables",
            "all failures",
            "all failures, table full",
            "shares of execs and copies",
            "searches that a user leaves open",
            "no file left in the whole system",
            "another function in exec_binprm's place",
            "kretprobes that miss",
        ),
    ),
    # Debian's 5.10 is built without five levels, and without full preemption.
    "5.10": Boot("5.10", 4, once=("page tables", "no room at the first check")),
    "6.12 with full preemption": Boot(
        "6.12",
        5,
        ("preempt=full",),
        ("fentry",),
        ("page tables", "full preemption", "programs that are skipped"),
    ),
}
"""By name."""
