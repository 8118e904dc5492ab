"""Read the kernel's records in a background thread, and decode them when they are drained."""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Final

from execwhy.bpf.events.arrivals import Report
from execwhy.bpf.events.clock import boot_clock, suspended, this_machine
from execwhy.bpf.events.source import Capture, Stage, Status
from execwhy.bpf.load.loader import Loaded, Loader
from execwhy.bpf.load.probe import ProbeError
from execwhy.bpf.load.support import KernelError
from execwhy.bpf.program.text import Settings
from execwhy.bpf.read.account import Account
from execwhy.bpf.read.buffers import Buffer, buffer_of, default_ring_bytes
from execwhy.bpf.read.decode import Decoder
from execwhy.bpf.read.raw_queue import RawQueue, folded
from execwhy.bpf.read.reporting import Reporter
from execwhy.bpf.read.ring import RecordRun
from execwhy.bpf.read.stopped import expected_reason, unexpected_reason

DEFAULT_ARGS_BYTES: Final = 8192
DEFAULT_ENV_BYTES: Final = 8192
"""Enough for nearly every real command line and environment; a record is only as large as its content."""
MAX_TEXT_BYTES: Final = 65536
"""Most bytes of argv or envp in one record."""

_BATCH_BYTES: Final = 1 << 20
"""Most bytes taken from the ring at once: a few thousand records, the most that closing waits for."""
_DRAINED_BYTES: Final = 128 << 10
"""Bytes of records that are decoded at once: some milliseconds of work."""
_CLOSING_SECONDS: Final = 0.1
"""How long a closed source continues to empty its ring; what is left then is counted as lost."""
_PAUSE: Final = 0.02
"""Seconds to wait for new records while a buffer holds some back."""
_IDLE: Final = 0.25
"""Most seconds to wait for new records, even if the kernel does not wake the thread."""


class KernelSource:
    """An ``EventSource`` of this kernel's failing execs, with a thread of its own.

    The thread moves records from the ring into a queue that is fair to all users. ``drain`` decodes them.
    Neither touches a caller's file: ``tui.why.lookers`` does that.
    """

    def __init__(
        self,
        *,
        plan: str | None = None,
        max_args_bytes: int = DEFAULT_ARGS_BYTES,
        max_env_bytes: int = DEFAULT_ENV_BYTES,
        capture: Capture | None = None,
        ring_bytes: int | None = None,
        all_failures: bool = False,
        types: str | None = None,
        exec_binprm: str | None = None,
    ) -> None:
        """Prepare; nothing runs before ``load`` or ``start``.

        Args:
            plan: Name of the hook plan, or None for the best one.
            max_args_bytes: Bytes of argv to read, at most ``MAX_TEXT_BYTES``.
            max_env_bytes: Bytes of envp to read, at most as many.
            capture: The capture filter; None records everything.
            ring_bytes: Size of the ring buffer, a power of two; None depends on the memory.
            all_failures: Attach the plan's ``all_failures`` hooks, too.
            types: Source of the kernel's types, "btf" or "headers"; None takes BTF if there is any.
            exec_binprm: A function to attach to instead of exec_binprm in the legacy plan, for developers.
        """
        self._settings = Settings(
            plan,
            max_args_bytes,
            max_env_bytes,
            ring_bytes or default_ring_bytes(),
            capture,
            all_failures,
            types,
            exec_binprm,
        )
        self._capture = capture
        self._origin = this_machine(plan)
        self._lock = threading.Lock()
        self._queue = RawQueue()
        self._account = Account()
        self._stage = Stage.STARTING
        self._detail = ""
        self._loader: Loader | None = None
        self._something = threading.Event()
        self._stopping = threading.Event()
        self._finishing = threading.Event()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._thread = threading.Thread(target=self._run, name="execwhy-reader", daemon=True)
        decoder = Decoder(self._origin.boot_time, (max_args_bytes, max_env_bytes))
        self._reporter = Reporter(decoder, self._counted_losses)
        self._is_monotonic = False

    def load(self) -> None:
        """Start the process that compiles and attaches, with the privileges that this one has now.

        Afterwards this process needs no privileges. Without this call, ``start`` does the same first.

        Raises:
            ProbeError: No Python here has bcc.
            OSError: No process can be started.
        """
        self._begin_loading()

    def start(self) -> None:
        """Compile and attach in the background."""
        self._thread.start()

    def drain(self, held_up: Collection[int] = ()) -> list[Report]:
        """Decode waiting records for some milliseconds, and return them; call it until it returns none.

        Args:
            held_up: Users (``bpf.events.users.user_of``) whose records are left waiting for now.
        """
        if self._stage is Stage.FAILED:
            self.abandon()
        with self._lock:
            records = folded(self._queue.take(_DRAINED_BYTES, held_up))
            is_empty = not self._queue.bytes
            if not self._queue.has_any(held_up):
                self._something.clear()
        if self._is_monotonic:
            self._reporter.decoder.boot_time = self._origin.boot_time + suspended()
        events: list[Report] = []
        for at, raw in enumerate(records):
            try:
                events += self._reporter.decode(raw)
            except Exception as error:
                # Every error must reach the operator, and the records before it are kept.
                self._fail(error, records[at:])
                break
        is_ending = self._stopping.is_set()
        return events + self._reporter.silent_losses(self._now(), is_idle=is_empty, is_ending=is_ending)

    def status(self) -> Status:
        """Return the current state; the counters are read from the kernel."""
        with self._lock:
            self._read_counters()
            return Status(
                self._stage, self._detail, self._account.counters, self._origin, behind=self._queue.users
            )

    def _fail(self, error: Exception, left: Sequence[bytes | RecordRun]) -> None:
        """Stop because of an unexpected error, and count all remaining records as lost."""
        self._enter(Stage.FAILED, unexpected_reason(error))
        with self._lock:
            self._account.add_abandoned(left)
        self.abandon()
        self.finish()

    def abandon(self) -> None:
        """Drop all records that wait to be drained, and count them as lost."""
        with self._lock:
            self._account.add_abandoned(self._queue.take(self._queue.bytes))

    def set_capture(self, capture: Capture | None) -> None:
        """Apply a capture filter from now on.

        Raises:
            ValueError: It has too many ranges or paths, or too long ones.
        """
        with self._lock:
            self._account.set_capture(capture)
            self._capture = capture

    def finish(self) -> None:
        """Detach now; earlier records can be drained until the stage is ENDED."""
        if not self._stopping.is_set() and not self._finishing.is_set():
            self._finishing.set()
            os.eventfd_write(self._wake, 1)

    def close(self) -> None:
        """Detach, and free everything in the kernel.

        What is left in the ring after 0.1 s is counted as lost; records taken before can still be drained.
        """
        if self._stopping.is_set():
            return
        self._stopping.set()
        with self._lock:
            if self._loader is not None:
                self._loader.cancel()
        if self._thread.ident is not None:
            os.eventfd_write(self._wake, 1)
            self._thread.join()
        os.close(self._wake)

    def wait(self, seconds: float) -> None:
        """Sleep until there are records to drain or the stage changes, at most this long."""
        self._something.wait(seconds)

    # ---- the thread ----

    def _enter(self, stage: Stage, detail: str = "") -> None:
        with self._lock:
            self._stage, self._detail = stage, detail
            self._something.set()

    def _run(self) -> None:
        try:
            self._watch(self._load())
            if self._stage is not Stage.FAILED:
                self._enter(Stage.ENDED)
        except (ProbeError, KernelError, ValueError, OSError) as error:
            if self._stopping.is_set():
                self._enter(Stage.ENDED)
            else:
                self._enter(Stage.FAILED, expected_reason(error))
        except Exception as error:
            # Every error in this thread must reach the operator.
            self._enter(Stage.FAILED, unexpected_reason(error))

    def _begin_loading(self) -> Loader:
        with self._lock:
            settings = replace(self._settings, capture=self._capture)
        loader = Loader(settings)
        with self._lock:
            self._loader = loader
        if self._stopping.is_set():
            loader.cancel()
        return loader

    def _load(self) -> Loaded:
        loader = self._loader or self._begin_loading()

        def on_stage(stage: str, plan: str) -> None:
            self._origin = replace(self._origin, plan=plan)
            self._enter(Stage(stage))

        loaded = loader.finish(on_stage)
        with self._lock:
            self._loader = None
        return loaded

    def _watch(self, loaded: Loaded) -> None:
        ring = None
        try:
            ring = buffer_of(loaded)
            with self._lock:
                self._account.open(loaded, self._capture)
            self._is_monotonic = bool(loaded.buffers)
            self._enter(Stage.LIVE)
            with select.epoll() as poll:
                for descriptor in (*ring.descriptors, self._wake):
                    poll.register(descriptor, select.EPOLLIN)
                while not self._stopping.is_set() and not self._finishing.is_set():
                    poll.poll(_PAUSE if ring.is_holding else _IDLE)
                    self._take(ring)
            loaded = loaded.detach()
            self._empty(ring)
        finally:
            loaded = loaded.detach()
            with self._lock:
                self._read_counters()
                self._account.close()
            if ring is not None:
                ring.close()
            loaded.close()
            with self._lock:
                self._account.abandon_rest()
                self._something.set()

    def _empty(self, ring: Buffer) -> None:
        """Take the remaining records once nothing more is recorded; if closed, as many as time allows."""
        deadline = time.monotonic() + _CLOSING_SECONDS
        while ring.pending and self._take(ring):
            if self._stopping.is_set() and time.monotonic() > deadline:
                return

    def _take(self, ring: Buffer) -> bool:
        """Move a batch from the ring to the queue; return False if there was none."""
        at_end = self._stopping.is_set() or self._finishing.is_set()
        records = ring.consume(_BATCH_BYTES, at_end=at_end)
        with self._lock:
            for record in records:
                self._account.add_taken(record, self._queue.put(record))
            if records:
                self._something.set()
        return bool(records)

    def _read_counters(self) -> None:
        """Bring the account up to date; the lock is held."""
        self._detail = self._account.read() or self._detail

    def _counted_losses(self) -> Mapping[str, int]:
        with self._lock:
            self._read_counters()
            return self._account.counters.losses

    def _now(self) -> int:
        """Return the time on the clock of the records' timestamps, which nobody can set."""
        return self._origin.boot_time + boot_clock()
