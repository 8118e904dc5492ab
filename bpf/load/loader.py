"""Start ``bpf.load.probe`` in a process of its own, and take over the descriptors that it opened."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from execwhy.bpf.load.probe import MAPS, ProbeError, arguments
from execwhy.bpf.load.rlimits import memory_obstacle, obstacle
from execwhy.bpf.program.plans import PLANS, Hook
from execwhy.bpf.program.text import Settings

_FOLDER: Final = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
"""The directory of ``bpf``: that of the package, or the checkout."""
_SYSTEM_PYTHON: Final = "/usr/bin/python3"
_MAX_FDS: Final = 250
_ENVIRONMENT: Final = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
"""The whole environment of the process: no LD_* or BCC_* variable reaches the loader, the compiler or bcc."""
_RUN: Final = (
    "import sys, types; sys.modules['execwhy'] = package = types.ModuleType('execwhy');"
    " package.__path__ = [{!r}]; from execwhy.bpf.load import probe; probe.main()"
)
"""With -I neither the working directory nor PYTHON* variables can put code into a root process."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """Descriptors of an attached program; closing all of them removes it from the kernel.

    Attributes:
        plan: The plan's name.
        ring_bytes: Size of the ring buffer.
        events: The ring buffer's map.
        counters: The map of the counters.
        captures: The map of the capture filters.
        controls: The map of values that user space sets at run time: ``limits.ACTIVE_CAPTURE``.
        hooks: The attached hooks, each with its program.
        refused: The refused hooks, each with the reason.
        links: The links; closing one detaches its hook.
        buffers: The CPUs' perf events, if the plan has no ring buffer.
        kept: Descriptors that must only stay open.
    """

    plan: str
    ring_bytes: int
    events: int
    counters: int
    captures: int
    controls: int
    hooks: tuple[tuple[Hook, int], ...]
    refused: tuple[tuple[Hook, str], ...]
    links: tuple[int, ...]
    buffers: tuple[int, ...]
    kept: tuple[int, ...]

    def detach(self) -> Loaded:
        """Detach the hooks, so that nothing more is recorded; return the rest."""
        for link in self.links:
            os.close(link)
        return replace(self, links=())

    def close(self) -> None:
        """Detach and free."""
        maps = (self.events, self.counters, self.captures, self.controls)
        for fd in (*self.links, *(program for _, program in self.hooks), *maps, *self.buffers, *self.kept):
            os.close(fd)


def interpreter() -> str:
    """Return the Python that has bcc: this one, or the distribution's, for which bcc is packaged.

    Raises:
        ProbeError: Neither has it.
    """
    from importlib.util import find_spec

    if find_spec("bcc"):
        return sys.executable
    if os.path.exists(_SYSTEM_PYTHON):
        test = "import importlib.util as u; raise SystemExit(u.find_spec('bcc') is None)"
        if subprocess.run([_SYSTEM_PYTHON, "-I", "-c", test], env=_ENVIRONMENT, check=False).returncode == 0:
            return _SYSTEM_PYTHON
    raise ProbeError(
        "bcc is missing: install it from the distribution (Debian and Ubuntu python3-bpfcc, Fedora "
        "python3-bcc, Arch python-bcc, Alpine py3-bcc)."
    )


def _how_it_ended(status: int, noise: bytes) -> str:
    """Return the sentence that says how the loading process ended, and what to do."""
    if status == -signal.SIGKILL:
        return (
            "the process that compiles the BPF program was killed (SIGKILL), as the kernel does where memory "
            "runs out (see dmesg): give it 300 MB, and start execwhy again."
        )
    words = noise.decode("utf-8", "replace").strip().splitlines()
    last = f" ({words[-1]})" if words else ""
    ended = f"status {status}" if status >= 0 else _signal_name(-status)
    return (
        f"the process that compiles the BPF program ended with {ended}{last}: run `execwhy --check`, and "
        "report what it says."
    )


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


class Loader:
    """One attempt to load. ``cancel`` may be called from another thread.

    The process ends when this end of its socket is closed, by ``cancel`` or at the end of the monitor: a
    monitor that has given up root's privileges could not kill it.
    """

    def __init__(self, settings: Settings) -> None:
        """Start the process, which works on its own until ``finish``.

        Raises:
            ProbeError: No Python here has bcc.
            OSError: No process can be started.
        """
        self._settings = settings
        self._ours, theirs = socket.socketpair()
        with theirs:
            number = theirs.fileno()
            self._process = subprocess.Popen(
                [interpreter(), "-I", "-c", _RUN.format(_FOLDER), arguments(settings), str(number)],
                pass_fds=[number],
                env=_ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                cwd="/",  # the compiler needs a directory, and the shell's may have been removed
                start_new_session=True,  # Ctrl-C at the terminal is not meant for it
            )

    def finish(self, on_stage: Callable[[str, str], None]) -> Loaded:
        """Wait until the program is attached.

        Args:
            on_stage: Called with "compiling" or "attaching" and the plan's name.

        Raises:
            ProbeError: It could not be loaded.
        """
        received, held = b"", list[int]()
        try:
            with self._ours:
                while data_and_fds := socket.recv_fds(self._ours, 65536, _MAX_FDS):
                    data, fds, flags, _ = data_and_fds
                    if not data:
                        break
                    received += data
                    held += fds
                    if flags & socket.MSG_CTRUNC:
                        raise ProbeError(obstacle(OSError(errno.EMFILE, "")) or "")
                    *lines, received = received.split(b"\n")
                    for line in lines:
                        message = json.loads(line)
                        if "error" in message:
                            raise ProbeError(message["error"])
                        # One read can return several messages, with the descriptors of the last one.
                        if "hooks" in message:
                            return self._loaded(message, held)
                        on_stage(message["stage"], message["plan"])
        finally:
            _, noise = self._process.communicate()
        raise ProbeError(memory_obstacle() or _how_it_ended(self._process.returncode, noise))

    def _loaded(self, message: dict[str, Any], fds: list[int]) -> Loaded:
        for fd in fds:
            os.set_inheritable(fd, False)
        plan = next(plan for plan in PLANS if plan.name == message["plan"])
        hooks = plan.hooks + plan.all_failures
        attached = [hooks[index] for index in message["hooks"]]
        of_hooks = fds[len(MAPS) : len(MAPS) + 2 * len(attached)]
        rest = fds[len(MAPS) + len(of_hooks) :]
        return Loaded(
            plan.name,
            self._settings.ring_bytes,
            **dict(zip(MAPS, fds, strict=False)),
            hooks=tuple(zip(attached, of_hooks[::2], strict=True)),
            refused=tuple((hooks[index], reason) for index, reason in message["refused"]),
            links=tuple(of_hooks[1::2]),
            buffers=tuple(rest[: message["buffers"]]),
            kept=tuple(rest[message["buffers"] :]),
        )

    def cancel(self) -> None:
        """End the attempt; ``finish`` then raises ProbeError."""
        with contextlib.suppress(OSError):  # it has ended by itself
            self._ours.shutdown(socket.SHUT_RDWR)
