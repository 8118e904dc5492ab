"""Load a compiled plan's programs and attach them, each hook on its own.

An optional hook may be refused: the plan then works without it. The refusals and their reasons are returned.
"""

from __future__ import annotations

import errno
import os
import struct
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from execwhy.bpf.load.instructions import with_callback, with_map
from execwhy.bpf.maps.syscalls import (
    MAP_TYPE_PROG_ARRAY,
    PROG_TYPE_KPROBE,
    PROG_TYPE_RAW_TRACEPOINT,
    PROG_TYPE_TRACEPOINT,
    PROG_TYPE_TRACING,
    TRACE_FENTRY,
    TRACE_FEXIT,
    attach_kprobe,
    attach_raw_tracepoint,
    attach_tracepoint,
    attach_trampoline,
    create_map,
    load_program,
    update_map,
)
from execwhy.bpf.program.btf import Btf, BtfError
from execwhy.bpf.program.plans import Hook

REMEDY: Final = "try another --plan, or run execwhy --check and report what it says"
"""What to do if a program is refused that should have been accepted."""

_ATTACH_TYPES: Final = {"fentry": TRACE_FENTRY, "fexit": TRACE_FEXIT}


class AttachError(Exception):
    """A required hook was refused; the message is one sentence that says what to do."""


@dataclass(frozen=True, slots=True)
class Attached:
    """A hook that is attached, with two descriptors: closing the link detaches it."""

    hook: Hook
    program: int
    link: int


@dataclass(frozen=True, slots=True)
class Refused:
    """A hook that was refused, and the reason, in one sentence."""

    hook: Hook
    reason: str


class Attacher:
    """Attach hooks whose programs were compiled together."""

    def __init__(
        self,
        code: Callable[[str], bytes],
        jump_table: int | None,
        callback: tuple[int, bytes] | None = None,
    ) -> None:
        """Prepare.

        Args:
            code: Return the instructions of a function of the program.
            jump_table: Descriptor of the map for tail calls; None without one.
            callback: The placeholder in the code for the address of a function that helpers call, and the
                function's instructions.
        """
        self._code = code
        self._jump_table = jump_table
        self._callback = callback
        # By type of program, and by prototype of the function if it needs a table of its own.
        self._tables: dict[int | str, int] = {}
        self._locks: dict[int, threading.Lock] = {}

    @cached_property
    def _btf(self) -> Btf:
        return Btf()

    def attach(self, hooks: tuple[Hook, ...]) -> tuple[list[Attached], list[Refused]]:
        """Load and attach all of them, each on its own.

        Raises:
            AttachError: A hook that is not optional is refused.
        """
        refused: list[Refused] = []
        wanted = self._present(hooks, refused)
        self._fill_tables(wanted)
        # Verifying takes a while, and so does each trampoline: the kernel waits until none runs the old one.
        with ThreadPoolExecutor(len(wanted)) as pool:
            programs = {hook: pool.submit(self._load, hook) for hook in wanted}
            attempts: dict[Hook, Future[Attached]] = {}
            # The hooks that report events come last, so that the first event already has the others' facts.
            for is_event in (False, True):
                hooks_now = [hook for hook in wanted if hook.is_event is is_event]
                attempts |= {hook: pool.submit(self._attach, hook, programs[hook]) for hook in hooks_now}
                wait(attempts.values())
        attached: list[Attached] = []
        for hook in wanted:
            try:
                attached.append(attempts[hook].result())
            except OSError as error:
                try:
                    self._refuse(Refused(hook, f"the kernel refuses it ({error.strerror})."), refused)
                except AttachError:
                    for other in attempts.values():
                        if other.exception() is None:
                            os.close(other.result().link)
                    raise
        return attached, refused

    @property
    def tables(self) -> list[int]:
        """Descriptors of maps for tail calls; the kernel empties such a map on its last close."""
        return list(self._tables.values())

    def _attach(self, hook: Hook, loading: Future[int]) -> Attached:
        program = loading.result()
        return Attached(hook, program, self._link(hook, program))

    def _refuse(self, refusal: Refused, refused: list[Refused]) -> None:
        hook = refusal.hook
        if not hook.optional:
            raise AttachError(
                f"cannot attach to {hook.kind} {hook.target}, since {refusal.reason.rstrip('.')}: {REMEDY}."
            )
        refused.append(refusal)

    def _present(self, hooks: tuple[Hook, ...], refused: list[Refused]) -> list[Hook]:
        """Return the hooks whose function this kernel has; the others need no trial."""
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

    def _fill_tables(self, hooks: list[Hook]) -> None:
        """For each type of program, make a map with the program for its hooks' tail calls."""
        first: dict[int | str, Hook] = {}
        for hook in hooks:
            if hook.tail_call:
                first.setdefault(_type(hook), hook)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            tables = {key: pool.submit(self._make_table, hook) for key, hook in first.items()}
        for key, table in tables.items():
            try:
                self._tables[key] = table.result()
            except OSError as error:
                reason = f"the kernel refuses the program of {first[key].target} ({error.strerror})"
                raise AttachError(f"{reason}: {REMEDY}.") from None

    def _make_table(self, hook: Hook) -> int:
        program = self._load_code(hook, self._code(hook.tail_call or ""))
        table = create_map(MAP_TYPE_PROG_ARRAY, 4, 4, 1)
        update_map(table, struct.pack("<I", 0), struct.pack("<I", program))
        os.close(program)
        return table

    def _table_of_prototype(self, hook: Hook) -> int:
        prototype = self._btf.prototype(hook.target)[0]
        with self._locks.setdefault(prototype, threading.Lock()):
            if prototype not in self._tables:
                self._tables[prototype] = self._make_table(hook)
            return self._tables[prototype]

    def _load(self, hook: Hook) -> int:
        code = self._code(hook.program)
        if not hook.tail_call or self._jump_table is None:
            return self._load_code(hook, code)
        table = self._tables[_type(hook)]
        try:
            return self._load_code(hook, with_map(code, self._jump_table, table))
        except OSError as error:
            if hook.kind not in _ATTACH_TYPES or error.errno != errno.EINVAL:
                raise
        # Since Linux 6.12 only functions with the same prototype may share a table. Verifying takes a while.
        return self._load_code(hook, with_map(code, self._jump_table, self._table_of_prototype(hook)))

    def _load_code(self, hook: Hook, code: bytes) -> int:
        if hook.kind in _ATTACH_TYPES:
            function = self._btf.function_id(hook.target)
            return load_program(PROG_TYPE_TRACING, code, _ATTACH_TYPES[hook.kind], function)
        if hook.kind == "raw_tracepoint":
            code, callback = with_callback(code, *self._callback) if self._callback else (code, 0)
            return load_program(PROG_TYPE_RAW_TRACEPOINT, code, callback=callback)
        return load_program(PROG_TYPE_TRACEPOINT if hook.kind == "tracepoint" else PROG_TYPE_KPROBE, code)

    def _link(self, hook: Hook, program: int) -> int:
        if hook.kind in _ATTACH_TYPES:
            return attach_trampoline(program)
        if hook.kind == "raw_tracepoint":
            return attach_raw_tracepoint(program, hook.target)
        if hook.kind == "tracepoint":
            return attach_tracepoint(program, hook.target)
        return attach_kprobe(program, hook.target, at_return=hook.kind == "kretprobe")


def _type(hook: Hook) -> str:
    if hook.kind in _ATTACH_TYPES:
        return "tracing"
    return hook.kind if hook.kind.endswith("tracepoint") else "kprobe"
