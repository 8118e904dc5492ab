"""The background thread between the kernel's ring buffer and whoever drains it."""

from __future__ import annotations

import os
import select
import threading
import time
import traceback
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Final

from execwhy.bpf.events.arrivals import Report
from execwhy.bpf.events.clock import boot_clock, suspended, this_machine
from execwhy.bpf.events.source import Capture, Counters, Stage, Status
from execwhy.bpf.load.loader import Loaded, Loader
from execwhy.bpf.load.probe import ProbeError
from execwhy.bpf.load.rlimits import obstacle
from execwhy.bpf.load.support import KernelError
from execwhy.bpf.maps.counters import SHARE_FULL, CaptureMap, CounterMap, without
from execwhy.bpf.maps.misses import Misses
from execwhy.bpf.program.text import Settings, possible_cpus
from execwhy.bpf.read.buffers import Buffer, buffer_of, default_ring_bytes
from execwhy.bpf.read.decode import DecodeError, Decoder
from execwhy.bpf.read.losses import READER_STOPPED, Losses
from execwhy.bpf.read.raw_queue import RawQueue, failures_in, folded
from execwhy.bpf.read.ring import RecordRun

DEFAULT_ARGS_BYTES: Final = 8192
DEFAULT_ENV_BYTES: Final = 8192
"""Nearly every real command line and environment; a record takes only what there is."""
MAX_TEXT_BYTES: Final = 65536
"""The most of argv or envp that one record holds."""

_BATCH_BYTES: Final = 1 << 20
"""Records taken at once: a few thousand, so that a closing program waits for no more than those."""
_DRAINED_BYTES: Final = 128 << 10
"""Bytes of records that are decoded at once: some milliseconds of work."""
_SILENCE: Final = 0.25
"""Seconds between looks for losses that no record has mentioned."""
_BUSY_SILENCE: Final = 1.0
"""Seconds that such a look is put off at most while records keep coming."""
_CLOSING_SECONDS: Final = 0.1
"""How long a source that is closed goes on emptying its ring; what is left then is counted as lost."""
_PAUSE: Final = 0.02
"""Seconds between looks while the queue is full."""
_IDLE: Final = 0.25
"""Seconds after which losses that no record has told of are looked for."""


def _place(error: BaseException) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{os.path.basename(frame.filename)}, line {frame.lineno}"


def _detached(loaded: Loaded) -> Loaded:
    """The same without its hooks: nothing is recorded from now on."""
    for link in loaded.links:
        os.close(link)
    return replace(loaded, links=())


class KernelSource:
    """This kernel's failing execs: an ``EventSource`` with a thread of its own.

    That thread moves records from the ring into a queue that is fair to all users. They are decoded as they
    are drained. Neither touches a file of a caller: see ``tui.why.lookers``.
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
        """Prepare; nothing runs before ``start``.

        Args:
            plan: Name of the hook plan, or None for the best one.
            max_args_bytes: Bytes of argv to read, ``MAX_TEXT_BYTES`` at most.
            max_env_bytes: The same for envp.
            capture: What to record; None records everything.
            ring_bytes: Size of the ring buffer, a power of two; None goes by the memory.
            all_failures: Attach to what sees the failures that the plan's own hooks do not, too.
            types: Where the kernel's types come from, "btf" or "headers"; None takes BTF where there is any.
            exec_binprm: A function that takes the place of exec_binprm in the legacy plan, for developers.
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
        self._limits = (max_args_bytes, max_env_bytes)
        self._capture = capture
        self._origin = this_machine(plan)
        self._lock = threading.Lock()
        self._queue = RawQueue()
        self._dropped = 0
        self._abandoned = 0
        self._losses_due = 0.0
        self._handed_over = 0
        self._stage = Stage.STARTING
        self._detail = ""
        self._kernel_counters = self._counters = Counters()
        self._counter_map: CounterMap | None = None
        self._capture_map: CaptureMap | None = None
        self._loader: Loader | None = None
        self._something = threading.Event()
        self._stopping = threading.Event()
        self._finishing = threading.Event()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._thread = threading.Thread(target=self._run, name="execwhy-reader", daemon=True)
        self._decoder = Decoder(self._origin.boot_time, self._limits)
        self._losses = Losses(self._counted_losses)
        self._is_monotonic = False
        self._taken = 0

    # ---- EventSource ----

    def load(self) -> None:
        """Have a process of its own compile and attach from now on, with the privileges that are held now.

        After it this process needs none. Without it, ``start`` begins with that.

        Raises:
            ProbeError: No Python here has bcc.
            OSError: No process can be started.
        """
        self._begin_loading()

    def start(self) -> None:
        """Compile and attach in the background."""
        self._thread.start()

    def drain(self, held_up: Collection[int] = ()) -> list[Report]:
        """Take what has come, or as much as is decoded in some milliseconds: call it until it is empty.

        Args:
            held_up: Users, as of ``bpf.events.users.user_of``, of whom nothing is taken now.
        """
        if self._stage is Stage.FAILED:
            self.abandon()
        with self._lock:
            records = folded(self._queue.take(_DRAINED_BYTES, held_up))
            self._handed_over += sum(map(failures_in, records))
            is_empty = not self._queue.bytes
            if not self._queue.has_any(held_up):
                self._something.clear()
        if self._is_monotonic:
            self._decoder.boot_time = self._origin.boot_time + suspended()
        events: list[Report] = []
        for at, raw in enumerate(records):
            try:
                self._decode(raw, events)
            except Exception as error:
                # Whatever it is, it must reach the operator, and what was decoded before it is kept.
                self._fail(error, records[at:])
                break
        overdue = time.monotonic() - self._losses_due
        if overdue >= _BUSY_SILENCE or (is_empty and (overdue >= 0 or self._stopping.is_set())):
            self._losses_due = time.monotonic() + _SILENCE
            events += self._losses.silent(self._now())
        return events

    def status(self) -> Status:
        """The state now; the counters are read from the kernel."""
        with self._lock:
            self._read_counters()
            return Status(self._stage, self._detail, self._counters, self._origin, behind=self._queue.users)

    def _fail(self, error: Exception, left: Sequence[bytes | RecordRun]) -> None:
        """End for an error that must not have been, and count what is left as lost."""
        # Its message may quote what a process wrote; its name cannot.
        what = f"{type(error).__name__} in {_place(error)}"
        self._enter(Stage.FAILED, f"the reader stopped ({what}): start execwhy again, and report this.")
        with self._lock:
            count = sum(map(failures_in, left))
            self._handed_over -= count
            self._abandoned += count
        self.abandon()
        self.finish()

    def abandon(self) -> None:
        """Drop what waits to be drained, counted as lost: whoever drained has no time left for it."""
        with self._lock:
            self._abandoned += sum(map(failures_in, self._queue.take(1 << 62)))

    def set_capture(self, capture: Capture | None) -> None:
        """Apply a capture filter from now on.

        Raises:
            ValueError: It does not fit.
        """
        with self._lock:
            if self._capture_map is not None:
                self._capture_map.set(capture)
            self._capture = capture

    def finish(self) -> None:
        """Detach now; what was recorded before can be drained until the stage is ENDED."""
        if not self._stopping.is_set() and not self._finishing.is_set():
            self._finishing.set()
            os.eventfd_write(self._wake, 1)

    def close(self) -> None:
        """Detach, and free everything in the kernel.

        What was taken from the ring before can still be drained. What is left there after a tenth of a
        second is counted as lost, whatever a storm has left.
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

    # ---- for callers without an event loop ----

    def wait(self, seconds: float) -> None:
        """Sleep until there is something to drain, or the stage changes; that long at most."""
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
            elif isinstance(error, OSError):
                reason = error.strerror or type(error).__name__
                unknown = f"the kernel's events cannot be read ({reason}): start execwhy again."
                self._enter(Stage.FAILED, obstacle(error) or unknown)
            else:
                self._enter(Stage.FAILED, str(error))
        except Exception as error:
            # An error in this thread must reach the operator, whatever it is.
            # Its message may quote what a process wrote; its name cannot.
            what = f"{type(error).__name__} in {_place(error)}"
            self._enter(Stage.FAILED, f"the reader stopped ({what}): start execwhy again, and report this.")

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
                self._counter_map = CounterMap(
                    loaded.counters, possible_cpus(), Misses(loaded.hooks, loaded.links)
                )
                self._capture_map = CaptureMap(loaded.captures, loaded.controls)
                self._capture_map.set(self._capture)
            self._is_monotonic = bool(loaded.buffers)
            self._enter(Stage.LIVE)
            with select.epoll() as poll:
                for descriptor in (*ring.descriptors, self._wake):
                    poll.register(descriptor, select.EPOLLIN)
                while not self._stopping.is_set() and not self._finishing.is_set():
                    poll.poll(_PAUSE if ring.is_holding else _IDLE)
                    self._take(ring)
            loaded = _detached(loaded)
            self._empty(ring)
        finally:
            loaded = _detached(loaded)
            with self._lock:
                self._read_counters()
                if self._counter_map is not None:
                    self._counter_map.close()
                if self._capture_map is not None:
                    self._capture_map.close()
                self._counter_map = self._capture_map = None
            if ring is not None:
                ring.close()
            loaded.close()
            with self._lock:
                left = self._kernel_counters.recorded - self._dropped - self._taken
                if left > 0:
                    self._abandoned += left
                    self._read_counters()
                self._something.set()

    def _empty(self, ring: Buffer) -> None:
        """Take what is left once nothing more is recorded: when closed, what there is time for."""
        deadline = time.monotonic() + _CLOSING_SECONDS
        while ring.pending and self._take(ring):
            if self._stopping.is_set() and time.monotonic() > deadline:
                return

    def _take(self, ring: Buffer) -> bool:
        """Move a batch from the ring to the queue; False where nothing came."""
        at_end = self._stopping.is_set() or self._finishing.is_set()
        records = ring.consume(_BATCH_BYTES, at_end=at_end)
        with self._lock:
            for record in records:
                dropped = self._queue.put(record)
                self._dropped += dropped
                self._taken += failures_in(record) - dropped
            if records:
                self._something.set()
        return bool(records)

    def _decode(self, record: bytes | RecordRun, events: list[Report]) -> None:
        try:
            decoded = (
                [self._decoder.decode(record)]
                if isinstance(record, bytes)
                else self._decoder.decode_alike(record)
            )
        except DecodeError:
            self._losses.not_decoded(1 if isinstance(record, bytes) else len(record.times))
            return
        for report, lost_before in decoded:
            if lost_before:
                events += self._losses.before(lost_before, report.timestamp)
            events.append(report)

    def _read_counters(self) -> None:
        """Read the counters, without what has yet to be handed over; the lock is held.

        What waits may still be dropped here: it would count as recorded first, and as lost later.
        """
        if self._counter_map is not None:
            try:
                self._kernel_counters = self._counter_map.read()
            except ValueError as error:
                self._detail = str(error)
        dropped = {SHARE_FULL: self._dropped, READER_STOPPED: self._abandoned}
        counters = without(self._kernel_counters, dropped)
        waiting = max(0, counters.recorded - self._handed_over)
        self._counters = replace(counters, seen=counters.seen - waiting, recorded=counters.recorded - waiting)

    def _counted_losses(self) -> Mapping[str, int]:
        with self._lock:
            self._read_counters()
            return self._counters.losses

    def _now(self) -> int:
        """The time on the clock of the records' timestamps, which no one can set."""
        return self._origin.boot_time + boot_clock()
