"""Loads a compiled plan's programs and attaches them, each hook on its own.

A hook that is optional may be refused: the plan then works without it. What was refused, and why, is told.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from bpf.btf import Btf, BtfError
from bpf.instructions import with_map
from bpf.plans import Hook
from bpf.syscalls import (
    MAP_TYPE_PROG_ARRAY,
    PROG_TYPE_KPROBE,
    PROG_TYPE_RAW_TRACEPOINT,
    PROG_TYPE_TRACING,
    TRACE_FENTRY,
    TRACE_FEXIT,
    attach_kprobe,
    attach_raw_tracepoint,
    attach_trampoline,
    create_map,
    load_program,
    update_map,
)

_ATTACH_TYPES: Final = {"fentry": TRACE_FENTRY, "fexit": TRACE_FEXIT}


class AttachError(Exception):
    """A hook that the plan cannot do without was refused; the message is one sentence."""


@dataclass(frozen=True, slots=True)
class Attached:
    """A hook that is in force, by two descriptors: closing the link detaches it."""

    hook: Hook
    program: int
    link: int


@dataclass(frozen=True, slots=True)
class Refused:
    """A hook that is not, and why, in one sentence."""

    hook: Hook
    reason: str


class Attacher:
    """Attaches hooks whose programs were compiled together."""

    def __init__(self, code: Callable[[str], bytes], jump_table: int | None) -> None:
        """Prepare.

        Args:
            code: The instructions of a function of the program.
            jump_table: Descriptor of the map through which a program goes on in another; None without one.
        """
        self._code = code
        self._jump_table = jump_table
        # Programs of functions with different prototypes must not share such a map (since Linux 6.12),
        # nor those of different types.
        self._tables: dict[int | str, int] = {}

    @cached_property
    def _btf(self) -> Btf:
        return Btf()

    def attach(self, hooks: tuple[Hook, ...]) -> tuple[list[Attached], list[Refused]]:
        """Load all programs at once, since verifying takes a while, then attach them in their order.

        Raises:
            AttachError: One is refused that is not optional.
        """
        refused: list[Refused] = []
        wanted = self._present(hooks, refused)
        self._fill_tables(wanted)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            programs = [pool.submit(self._load, hook) for hook in wanted]
        attached: list[Attached] = []
        try:
            for hook, program in zip(wanted, programs, strict=True):
                self._attach(hook, program, attached, refused)
        except AttachError:
            for done in attached:
                os.close(done.link)
            raise
        return attached, refused

    @property
    def tables(self) -> list[int]:
        """Descriptors that must stay open: the kernel empties such a map when its last one is closed."""
        return list(self._tables.values())

    def _attach(
        self, hook: Hook, program: Future[int], attached: list[Attached], refused: list[Refused]
    ) -> None:
        try:
            attached.append(Attached(hook, program.result(), self._link(hook, program.result())))
        except OSError as error:
            self._refuse(Refused(hook, f"the kernel refuses it: {error.strerror}."), refused)

    def _refuse(self, refusal: Refused, refused: list[Refused]) -> None:
        hook = refusal.hook
        if not hook.optional:
            raise AttachError(f"cannot attach to {hook.kind} {hook.target}: {refusal.reason}")
        refused.append(refusal)

    def _present(self, hooks: tuple[Hook, ...], refused: list[Refused]) -> list[Hook]:
        """Those whose function this kernel has; the others need no trial."""
        present: list[Hook] = []
        for hook in hooks:
            if hook.instead_of in {other.target for other in present}:
                continue
            if hook.kind in _ATTACH_TYPES:
                try:
                    self._btf.function_id(hook.target)
                except BtfError as error:
                    self._refuse(Refused(hook, str(error)), refused)
                    continue
            present.append(hook)
        return present

    def _sort(self, hook: Hook) -> int | str:
        """Hooks of one sort can go on in the same program."""
        if hook.kind in _ATTACH_TYPES:
            return self._btf.prototype(hook.target)[0]
        return "raw tracepoint" if hook.kind == "raw_tracepoint" else "kprobe"

    def _fill_tables(self, hooks: list[Hook]) -> None:
        """For each sort of hooks a map with the program that they go on in."""
        wanted: dict[int | str, Hook] = {}
        for hook in hooks:
            if hook.goes_on_in:
                wanted.setdefault(self._sort(hook), hook)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            programs = {
                sort: pool.submit(self._load_code, hook, self._code(hook.goes_on_in or ""))
                for sort, hook in wanted.items()
            }
        for sort, program in programs.items():
            try:
                table = create_map(MAP_TYPE_PROG_ARRAY, 4, 4, 1)
                update_map(table, struct.pack("<I", 0), struct.pack("<I", program.result()))
            except OSError as error:
                raise AttachError(
                    f"the kernel refuses the program of {wanted[sort].target}: {error.strerror}."
                ) from None
            os.close(program.result())
            self._tables[sort] = table

    def _load(self, hook: Hook) -> int:
        code = self._code(hook.program)
        if hook.goes_on_in and self._jump_table is not None:
            code = with_map(code, self._jump_table, self._tables[self._sort(hook)])
        return self._load_code(hook, code)

    def _load_code(self, hook: Hook, code: bytes) -> int:
        if hook.kind in _ATTACH_TYPES:
            function = self._btf.function_id(hook.target)
            return load_program(PROG_TYPE_TRACING, code, _ATTACH_TYPES[hook.kind], function)
        if hook.kind == "raw_tracepoint":
            return load_program(PROG_TYPE_RAW_TRACEPOINT, code)
        return load_program(PROG_TYPE_KPROBE, code)

    def _link(self, hook: Hook, program: int) -> int:
        if hook.kind in _ATTACH_TYPES:
            return attach_trampoline(program)
        if hook.kind == "raw_tracepoint":
            return attach_raw_tracepoint(program, hook.target)
        return attach_kprobe(program, hook.target, at_return=hook.kind == "kretprobe")
