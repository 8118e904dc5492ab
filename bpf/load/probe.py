"""Compile the BPF program, attach it, and pass its descriptors on: the only module that imports bcc.

It runs as a process of its own (``loader`` starts it), which ends once its parent has the descriptors. So the
monitor never has the compiler's 70 MB, its messages on standard error or its hold on the interpreter, and can
run on another Python than the one that bcc is installed for. All kernel objects (maps, programs, links) live
only as long as these descriptors.
"""

from __future__ import annotations

import ctypes as ct
import json
import os
import socket
import struct
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import asdict, replace
from typing import Any, Final

from execwhy.bpf.events.source import Capture
from execwhy.bpf.load import support
from execwhy.bpf.load.attach import REMEDY, Attacher, AttachError
from execwhy.bpf.load.instructions import with_loops_closed_by_jumps, with_map
from execwhy.bpf.load.rlimits import file_obstacle, memory_obstacle, obstacle
from execwhy.bpf.maps.counters import CaptureMap
from execwhy.bpf.maps.syscalls import TRACEFS, open_buffer, update_map
from execwhy.bpf.program import btf
from execwhy.bpf.program.header_types import FUNCTION, HeaderError, header_offsets
from execwhy.bpf.program.headers import EMPTY, HeaderTreeError, header_tree
from execwhy.bpf.program.plans import EXEC_BINPRM, Plan
from execwhy.bpf.program.text import EVENTS_MAP, ON_MEMORY, Settings, online_cpus, source

MAPS: Final = ("events", "counters", "captures", "controls")
"""The maps whose descriptors are passed on first, in this order. Those of each hook's program and link
follow, then those that must only stay open."""

_CLONE_NEWNS: Final = 0x20000
"""include/uapi/linux/sched.h."""
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 0x40000
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 1, 2, 4, 8
"""include/uapi/linux/mount.h."""


class ProbeError(Exception):
    """The program cannot be loaded; the message is one sentence that says what to do."""


def _import_bcc() -> Any:  # noqa: ANN401  # bcc has no types
    try:
        import bcc
    except ImportError as error:
        if (limited := obstacle(error)) is not None:
            raise ProbeError(limited) from None
        raise ProbeError(
            f"bcc is missing for {sys.executable} ({error}): install it from the distribution (Debian and "
            "Ubuntu python3-bpfcc, Fedora python3-bcc, Arch python-bcc, Alpine py3-bcc)."
        ) from None
    if bcc.__file__ is None:
        raise ProbeError(
            f"{bcc.__path__[0]} is what was left of bcc: install it anew from the distribution (Debian and "
            "Ubuntu: python3-bpfcc)."
        )
    if not hasattr(bcc, "BPF"):
        raise ProbeError(
            f"{bcc.__file__} is another project that has the name bcc: remove it, and install bcc from the "
            "distribution (Debian and Ubuntu: python3-bpfcc)."
        )
    return bcc


def _mount_for_loading(empty: str) -> None:
    """Mount an empty /proc/kallsyms, and tracefs if it is missing, for this process alone.

    At each compilation bcc reads the 100,000 symbols there, to find out which helpers to replace by older
    ones, and replaces none of ours. Where a container refuses the mount, this costs a sixth of a second.
    tracefs has the numbers of tracepoints. If a namespace is refused, nothing may be mounted: execwhy.service
    does not have mount in its SystemCallFilter.
    """
    libc = ct.CDLL(None)
    if libc.unshare(_CLONE_NEWNS) or libc.mount(None, b"/", None, _MS_REC | _MS_PRIVATE, None):
        return
    libc.mount(empty.encode(), b"/proc/kallsyms", None, _MS_BIND, None)
    if not any(os.path.isdir(f"{place}/events") for place in TRACEFS):
        flags = _MS_RDONLY | _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
        libc.mount(b"tracefs", TRACEFS[0].encode(), b"tracefs", flags, None)


def _compile(bcc: Any, source: str, tree: str | None) -> Any:  # noqa: ANN401
    """Compile against a header tree; None stands for that of the running kernel, if it is installed."""
    if tree is None:
        os.environ.pop("BCC_KERNEL_SOURCE", None)
    else:
        os.environ["BCC_KERNEL_SOURCE"] = tree
    try:
        return bcc.BPF(text=source)
    except Exception as error:
        if (limited := memory_obstacle() or file_obstacle()) is not None:
            raise ProbeError(limited) from None
        reason = str(error).rstrip(".")
        raise ProbeError(
            f"the BPF program does not compile or its maps are refused ({reason}): {REMEDY}."
        ) from None


def _code(bcc: Any, program: Any, function: str) -> bytes:  # noqa: ANN401
    name = function.encode()
    start = bcc.lib.bpf_function_start(program.module, name)
    code = ct.string_at(start, bcc.lib.bpf_function_size(program.module, name))
    return with_loops_closed_by_jumps(code)


def _types(bcc: Any, settings: Settings) -> dict[str, int]:  # noqa: ANN401
    """Return offsets and sizes of the kernel's structures: from BTF, otherwise from installed headers."""
    if settings.types != "headers":
        try:
            return btf.offsets()
        except btf.BtfError:
            if settings.types == "btf":
                raise

    def compiled(text: str) -> bytes:
        try:
            return _code(bcc, _compile(bcc, text, None), FUNCTION)
        except ProbeError:
            release = os.uname().release
            raise HeaderError(
                "the kernel's types are not known here: install its headers (Debian: "
                f"linux-headers-{release}; Fedora: kernel-devel), or boot a kernel with BTF."
            ) from None

    return header_offsets(compiled)


def _argument_counts() -> dict[str, int]:
    with suppress(btf.BtfError):
        return btf.argument_counts(("bprm_execve", "free_bprm"))
    return {}


def _load(settings: Settings, tree: str, send: Callable[..., None]) -> None:
    bcc = _import_bcc()
    support.lift_memory_limit()
    attempts = [(plan, typed) for plan in support.candidates(settings.plan) for typed in _ways(plan)]
    for plan, typed in attempts:
        try:
            _load_plan(bcc, settings, plan, tree, send, typed=typed)
            return
        except (ProbeError, AttachError):
            if (plan, typed) == attempts[-1]:
                raise


def _ways(plan: Plan) -> tuple[bool, ...]:
    """Return whether to use known types, in the order of trying: the verifier may refuse such a program."""
    return (True, False) if support.knows_types() and "PERF_BUFFER" not in plan.features else (False,)


def _load_plan(
    bcc: Any,  # noqa: ANN401
    settings: Settings,
    plan: Plan,
    tree: str,
    send: Callable[..., None],
    *,
    typed: bool,
) -> None:
    send(stage="compiling", plan=plan.name)
    finds_memory = typed and "JOINED" not in plan.features and support.finds_memory()
    text = source(
        settings, plan, _types(bcc, settings), _argument_counts(), typed=typed, finds_memory=finds_memory
    )
    program = _compile(bcc, text, tree)
    events = program["events"].map_fd
    capture = CaptureMap(program["captures"].map_fd, program["controls"].map_fd)
    capture.set(settings.capture)
    capture.close()
    send(stage="attaching", plan=plan.name)
    buffers = _open_buffers(events) if "PERF_BUFFER" in plan.features else []
    jump_table = program["recorders"].map_fd if "JOINED" in plan.features else None
    callback = (ON_MEMORY, _code(bcc, program, "on_memory")) if finds_memory else None

    def code(function: str) -> bytes:
        return with_map(_code(bcc, program, function), EVENTS_MAP, events)

    attacher = Attacher(code, jump_table, callback)
    hooks = plan.hooks + (plan.all_failures if settings.all_failures else ())
    if settings.exec_binprm:
        hooks = tuple(
            replace(hook, target=settings.exec_binprm) if hook.target == EXEC_BINPRM else hook
            for hook in hooks
        )
    attached, refused = attacher.attach(hooks)
    send(
        stage="live",
        plan=plan.name,
        hooks=[hooks.index(done.hook) for done in attached],
        buffers=len(buffers),
        refused=[[hooks.index(each.hook), each.reason] for each in refused],
        fds=[program[name].map_fd for name in MAPS]
        + [fd for done in attached for fd in (done.program, done.link)]
        + buffers
        + attacher.tables,
    )


def _open_buffers(events: int) -> list[int]:
    """Open a buffer for each CPU that is online, and put it into the map that the program writes to."""
    buffers = []
    for cpu in online_cpus():
        buffer = open_buffer(cpu)
        update_map(events, struct.pack("<I", cpu), struct.pack("<I", buffer))
        buffers.append(buffer)
    return buffers


def main() -> None:
    """Load according to argv: the settings as JSON, and the number of the socket to the parent."""
    settings = _settings(sys.argv[1])
    parent = socket.socket(fileno=int(sys.argv[2]))
    files, ending = ExitStack(), threading.Lock()

    def send(fds: list[int] | None = None, **message: object) -> None:
        socket.send_fds(parent, [json.dumps(message).encode() + b"\n"], fds or [])

    try:
        tree = files.enter_context(header_tree())
        _mount_for_loading(os.path.join(tree, EMPTY))
        threading.Thread(target=_end_with, args=(parent, files, ending), daemon=True).start()
        _load(settings, tree, send)
    except (
        ProbeError,
        AttachError,
        HeaderError,
        HeaderTreeError,
        support.KernelError,
        ValueError,
    ) as error:
        send(error=str(error))
    except Exception as error:
        if (sentence := obstacle(error)) is not None:
            send(error=sentence)
        elif not isinstance(error, btf.BtfError | OSError):
            raise
        else:
            reason = os.strerror(error.errno or 0) if isinstance(error, OSError) else str(error).rstrip(".")
            send(error=f"the BPF program cannot be loaded, since {reason}: {REMEDY}.")
    ending.acquire()
    files.close()
    # Skip the interpreter's clean-up, in which bcc would close the descriptors that were passed on.
    os._exit(0)


def _end_with(parent: socket.socket, files: ExitStack, ending: threading.Lock) -> None:
    """End when the parent closes its end of the socket, which happens at the latest when it ends."""
    with suppress(OSError):
        parent.recv(1)
    ending.acquire()
    files.close()
    os._exit(1)


def arguments(settings: Settings) -> str:
    """Return the settings as ``main`` takes them."""
    return json.dumps(asdict(settings))


def _settings(text: str) -> Settings:
    values = json.loads(text)
    if (capture := values["capture"]) is not None:
        ranges = tuple((low, high) for low, high in capture.pop("uid_ranges"))
        values["capture"] = Capture(ranges, **{name: tuple(paths) for name, paths in capture.items()})
    return Settings(**values)


if __name__ == "__main__":
    main()
