"""Compiles the BPF program, attaches it, and hands its descriptors over: the only module that imports bcc.

It runs as a process of its own (``python -m bpf.probe``), which ends once the descriptors are with
its parent. So the compiler's 70 MB, its messages on standard error and its hold on the interpreter
never burden the monitor, and the monitor can run on another Python than the one bcc was installed
for. Everything that the kernel keeps (maps, programs, links) lives by those descriptors alone.
"""

from __future__ import annotations

import ctypes as ct
import json
import os
import resource
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from typing import Any, Final

from bpf import btf, kernel, layout
from bpf.headers import header_tree
from bpf.maps import CaptureMap
from bpf.plans import Plan
from bpf.source import Capture

BPF_F_MMAPABLE: Final = 1 << 10
MAPS: Final = ("events", "counters", "captures", "active_capture")
"""The maps whose descriptors are handed over, in this order; the attached hooks' follow."""
_PROGRAM: Final = os.path.join(os.path.dirname(__file__), "exec_failures.c")

_NUMBERS: Final = {
    "BPF_F_MMAPABLE": BPF_F_MMAPABLE,
    "NR_execve": 59,
    "NR_execveat": 322,
    "NR_x32_execve": 0x40000000 + 520,
    "NR_x32_execveat": 0x40000000 + 545,
    "NR_ia32_execve": 11,
    "NR_ia32_execveat": 358,
    "TS_COMPAT": 2,
    "SIGKILL": 9,
    "SIGSEGV": 11,
}
"""System call numbers (arch/x86/entry/syscalls), TS_COMPAT (arch/x86/include/asm/thread_info.h), signals."""


class ProbeError(Exception):
    """The program cannot be loaded; the message is one sentence that says what to do."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the BPF program is made for.

    Attributes:
        plan: Name of the hook plan, or None for the best one.
        max_args_bytes: Bytes of argv to read.
        max_env_bytes: Bytes of envp to read.
        ring_bytes: Size of the ring buffer: a power of two, a page at least.
        capture: In force before the first hook is.
    """

    plan: str | None
    max_args_bytes: int
    max_env_bytes: int
    ring_bytes: int
    capture: Capture | None = None


def possible_cpus() -> int:
    """One more than the highest CPU number that can ever be used (cpu_possible_mask)."""
    with open("/sys/devices/system/cpu/possible", encoding="ascii") as file:
        return int(file.read().strip().replace(",", "-").split("-")[-1]) + 1


def _source(settings: Settings) -> str:
    numbers = _NUMBERS | btf.offsets()
    numbers["CPUS"] = possible_cpus()
    numbers["RING_PAGES"] = settings.ring_bytes // os.sysconf("SC_PAGE_SIZE")
    with open(_PROGRAM, encoding="utf-8") as file:
        text = file.read()
    return (
        layout.c_declarations(settings.max_args_bytes, settings.max_env_bytes) + btf.defines(numbers) + text
    )


def _import_bcc() -> Any:  # noqa: ANN401  # bcc has no types
    try:
        import bcc
    except ImportError as error:
        raise ProbeError(
            f"bcc is missing for {sys.executable} ({error}): install it from the distribution (Debian and "
            "Ubuntu python3-bpfcc, Fedora python3-bcc, Arch python-bcc, Alpine py3-bcc)."
        ) from None
    if not hasattr(bcc, "BPF"):
        raise ProbeError(
            f"{bcc.__file__} is another project that has the name bcc: remove it, and install bcc from the "
            "distribution (Debian and Ubuntu: python3-bpfcc)."
        )
    return bcc


def _compile(bcc: Any, source: str, tree: str) -> Any:  # noqa: ANN401
    os.environ["BCC_KERNEL_SOURCE"] = tree
    try:
        return bcc.BPF(text=source)
    except Exception as error:
        raise ProbeError(f"the BPF program does not compile or its maps are refused: {error}") from None


def _attach(bcc: Any, program: Any, plan: Plan) -> list[int]:  # noqa: ANN401
    links = []
    for hook in plan.hooks:
        name = (hook.program or "").encode()
        try:
            function = program.load_func(name, bcc.BPF.RAW_TRACEPOINT)
        except Exception as error:
            raise ProbeError(f"the kernel refuses the BPF program for {hook.target}: {error}") from None
        link = bcc.lib.bpf_attach_raw_tracepoint(function.fd, hook.target.encode())
        if link < 0:
            number = ct.get_errno()
            raise ProbeError(f"cannot attach to {hook.kind} {hook.target}: {os.strerror(number)}.")
        links.append(link)
    return links


def _load(settings: Settings, tree: str, tell: Callable[..., None]) -> None:
    plan = kernel.choose(settings.plan)
    tell(stage="compiling", plan=plan.name)
    bcc = _import_bcc()
    with suppress(OSError, ValueError):
        # Kernels before 5.11 count maps against this limit; later ones against the cgroup.
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    program = _compile(bcc, _source(settings), tree)
    capture = CaptureMap(program["captures"].map_fd, program["active_capture"].map_fd)
    capture.set(settings.capture)
    capture.close()
    tell(stage="attaching", plan=plan.name)
    links = _attach(bcc, program, plan)
    tell(stage="live", plan=plan.name, fds=[program[name].map_fd for name in MAPS] + links)


def main() -> None:
    """Load as told by argv: settings as JSON, and the number of the socket to the parent."""
    settings = _settings(sys.argv[1])
    parent = socket.socket(fileno=int(sys.argv[2]))
    files, ending = ExitStack(), threading.Lock()

    def tell(fds: list[int] | None = None, **message: object) -> None:
        socket.send_fds(parent, [json.dumps(message).encode() + b"\n"], fds or [])

    try:
        tree = files.enter_context(header_tree())
        threading.Thread(target=_end_with, args=(parent, files, ending), daemon=True).start()
        _load(settings, tree, tell)
    except (ProbeError, kernel.KernelError, btf.BtfError, OSError, ValueError) as error:
        tell(error=str(error))
    ending.acquire()
    files.close()
    # Without the interpreter's own clean-up, which would make bcc close what was handed over.
    os._exit(0)


def _end_with(parent: socket.socket, files: ExitStack, ending: threading.Lock) -> None:
    """End when the parent closes its end, as it does when it no longer waits or is no more."""
    with suppress(OSError):
        parent.recv(1)
    ending.acquire()
    files.close()
    os._exit(1)


def arguments(settings: Settings) -> str:
    """The settings as ``main`` takes them."""
    return json.dumps(asdict(settings))


def _settings(text: str) -> Settings:
    values = json.loads(text)
    if (capture := values["capture"]) is not None:
        ranges = tuple((low, high) for low, high in capture["uid_ranges"])
        values["capture"] = Capture(ranges, tuple(capture["paths"]), tuple(capture["path_prefixes"]))
    return Settings(**values)


if __name__ == "__main__":
    main()
