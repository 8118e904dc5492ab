"""The shape of an architecture's descriptor: every fact about a processor that the rest of ``bpf`` needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EntryPoints:
    """The kernel functions behind execve and execveat, for one kind of caller.

    Attributes:
        callers: The kind, as ``--check`` prints it: "64-bit callers".
        functions: Their symbols, those of other kernel versions included.
        optional: A kernel may be built without them.
    """

    callers: str
    functions: tuple[str, ...]
    optional: bool


@dataclass(frozen=True, slots=True)
class Registers:
    """How the kernel saves a caller's registers.

    Attributes:
        structure: The kernel's structure.
        of_calls: The members that hold a system call's number and arguments; they are read in one piece.
        of_functions: The members that hold the arguments and the result of a kernel function under a probe.
    """

    structure: str
    of_calls: tuple[str, ...]
    of_functions: tuple[str, ...]

    @property
    def members(self) -> tuple[str, ...]:
        """All of them, each once, as "structure.member"."""
        names = dict.fromkeys(self.of_calls + self.of_functions)
        return tuple(f"{self.structure}.{name}" for name in names)


@dataclass(frozen=True, slots=True)
class DirectMap:
    """Where the kernel maps all physical memory in its own address space, and how its page tables look.

    Attributes:
        end: The address from which on only the kernel itself and its modules are mapped.
        alignment: The kernel puts the map at a multiple of this, in bytes.
        levels: Return the number of page-table levels, given the address at which the map begins.
    """

    end: int
    alignment: int
    levels: Callable[[int], int]


@dataclass(frozen=True, slots=True)
class Architecture:
    """A processor architecture that execs can be captured on; ``MACHINE.c`` beside it is the C part.

    The C part defines, in terms of ``numbers`` and of the offsets of ``registers`` and ``members``:

        exec_call                exec call that a caller entered the kernel with
        fill_call                its arguments
        function_argument_1..3   arguments of a kernel function, at its kprobe
        function_result          its result, at its kretprobe
        read_string              a string of the call: in the caller's memory or, of an exec that the kernel
        read_strings_memory      starts, in the kernel's; any bytes there
        kernel_address           the kernel's own address of a page; only where there is a ``direct_map``

    Attributes:
        machine: The name that uname(2) reports.
        bpf: Number of the system call bpf(2).
        perf_event_open: Number of perf_event_open(2).
        numbers: Further numbers for the C part: system calls and flags.
        entry_points: The kernel functions behind execve and execveat; the first one named is in every kernel.
        registers: How the kernel saves registers.
        members: Members of other kernel structures that only this architecture's C part reads.
        direct_map: How to find the kernel's own copy of argv and envp; None where the C part cannot walk the
            page tables.
        keeps_order: The processor orders loads with loads and stores with stores, so that aligned 8-byte
            positions shared with the kernel need no barrier.
    """

    machine: str
    bpf: int
    perf_event_open: int
    numbers: Mapping[str, int]
    entry_points: tuple[EntryPoints, ...]
    registers: Registers
    members: tuple[str, ...]
    direct_map: DirectMap | None
    keeps_order: bool

    @property
    def exec_function(self) -> str:
        """A kernel function that every kernel of this architecture has: what probes are tried on."""
        return self.entry_points[0].functions[0]
