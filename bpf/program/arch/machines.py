"""The architectures that execs can be captured on, and that of this machine."""

from __future__ import annotations

import os
from typing import Final

from execwhy.bpf.program.arch.descriptor import Architecture, EntryPoints
from execwhy.bpf.program.arch.x86_64 import X86_64

ARCHITECTURES: Final = {each.machine: each for each in (X86_64,)}
"""By the name that uname(2) reports."""


class MachineError(Exception):
    """Execs cannot be captured on this machine; the message is one sentence that says what to do."""


def architecture() -> Architecture:
    """Return the descriptor of this machine.

    Raises:
        MachineError: There is no such descriptor.
    """
    system = os.uname()
    found = ARCHITECTURES.get(system.machine) if system.sysname == "Linux" else None
    if found is None:
        raise MachineError(
            f"this machine is {system.sysname} {system.machine}: execwhy captures on Linux "
            f"{' and '.join(ARCHITECTURES)} only (`execwhy --open FILE` works everywhere)."
        )
    return found


def entry_points() -> tuple[EntryPoints, ...]:
    """Return the kernel functions behind execve and execveat; none on a machine without a descriptor.

    Options and recordings use the names of the hook plans, so their tables exist on every machine.
    """
    try:
        return architecture().entry_points
    except MachineError:
        return ()
