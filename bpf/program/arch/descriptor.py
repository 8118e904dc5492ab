"""The type of an architecture's descriptor: all facts about a processor that the rest of ``bpf`` needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EntryPoints:
    """The kernel functions behind execve and execveat, for one kind of caller.

    Attributes:
        callers: The kind, as ``--check`` prints it: "64-bit callers".
        functions: Their symbols, including those in other kernel versions.
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
        """All of these members, each once, as "structure.member"."""
        names = dict.fromkeys(self.of_calls + self.of_functions)
        return tuple(f"{self.structure}.{name}" for name in names)


@dataclass(frozen=True, slots=True)
class DirectMap:
    """Where the kernel maps all physical memory in its own address space, and the shape of its page tables.

    Attributes:
        end: The address above which only the kernel itself and its modules are mapped.
        alignment: The kernel puts the map at a multiple of this, in bytes.
        levels: Return the number of page-table levels, given the address at which the map begins.
    """

    end: int
    alignment: int
    levels: Callable[[int], int]


@dataclass(frozen=True, slots=True)
class Architecture:
    """A processor architecture that execs can be captured on; ``MACHINE.c`` beside it is the C part.

    The C part uses ``numbers`` and the offsets of ``registers`` and ``members``, and defines:

        exec_call                return the exec call that a caller entered the kernel with
        fill_call                take the call's arguments from the registers
        function_argument_1..3   return an argument of a kernel function, at its kprobe
        function_result          return its result, at its kretprobe
        read_string              read a string of the call, from the caller's memory or, if the kernel itself
                                 starts the exec, from the kernel's
        read_strings_memory      read any bytes there
        kernel_address           return the kernel's own address of a page; only with a ``direct_map``

    Attributes:
        machine: The name that uname(2) reports.
        bpf: Number of the system call bpf(2).
        perf_event_open: Number of perf_event_open(2).
        numbers: Further numbers for the C part: system calls and flags.
        entry_points: The kernel functions behind execve and execveat; every kernel has the first one.
        registers: How the kernel saves registers.
        members: Members of other kernel structures that only this architecture's C part reads.
        direct_map: How to find the kernel's own copy of argv and envp; None if the C part cannot walk the
            page tables.
        keeps_order: The processor performs loads in the order of the program, and no store before an earlier
            load: so ``bpf.read.ring`` needs no barriers.
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
        """A function that every kernel of this architecture has; probes are tried on it."""
        return self.entry_points[0].functions[0]
