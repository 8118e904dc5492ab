"""The hook plans, as tables: what each attaches to, and what it needs from the kernel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from execwhy.bpf.program.arch.machines import entry_points

HookKind = Literal["raw_tracepoint", "tracepoint", "fentry", "fexit", "kprobe", "kretprobe"]
Need = Literal["BTF", "raw tracepoints", "ring buffer", "kprobes", "trampolines"]


@dataclass(frozen=True, slots=True)
class Hook:
    """One place in the kernel that a plan attaches to.

    Attributes:
        kind: How it is attached.
        target: The tracepoint or kernel function.
        provides: What it contributes to the record; --check prints this.
        program: The name of its function in hooks*.c.
        optional: The plan works without it: what it provides is then unknown, or looked up right after.
        instead_of: It is attached only if this other target of the plan cannot be.
        tail_call: The program that its own program calls at its end, loaded for the same target.
        is_event: A missed run of it may be a lost event.
    """

    kind: HookKind
    target: str
    provides: str
    program: str
    optional: bool = False
    instead_of: str | None = None
    tail_call: str | None = None
    is_event: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """A way to see failing execs.

    Attributes:
        name: Its name in --plan.
        needs: What the kernel has to allow; ``bpf.load.support`` finds that out.
        hooks: Where it attaches.
        all_failures: Where it also attaches if failures are wanted that its other hooks do not see.
        features: The features of the BPF program that it uses: macros that base.c explains.
    """

    name: str
    needs: tuple[Need, ...]
    hooks: tuple[Hook, ...]
    all_failures: tuple[Hook, ...] = ()
    features: frozenset[str] = frozenset()


_ENTRY_POINTS: Final = entry_points()
_EXEC_FUNCTIONS: Final = tuple(name for entry in _ENTRY_POINTS for name in entry.functions)

_THE_FILE: Final = "binary, argc and envc, as they were before any #! line"
_THE_REST: Final = "interpreter_path, the kernel's own copy of argv and envp, killed_by"
_THE_CALL: Final = "the event, path, arguments, environment, stdin and the caller"
_THE_KERNELS: Final = "path, arguments and environment of programs that the kernel itself starts"
_THE_PATH: Final = "the kernel's own copy of the path"
_PATH_BEFORE: Final = "the path in the caller's memory when the call began"
_NOTHING_STALE: Final = "removal of what is left of an earlier exec"

EXEC_BINPRM: Final = "exec_binprm"
"""Inlined in its caller in nearly every kernel; a test can attach to another function instead."""

_SEARCHES: Final = (
    Hook(
        "raw_tracepoint", "sched_process_exec", "the end of a PATH search that found its program", "on_exec"
    ),
    Hook("raw_tracepoint", "sched_process_exit", "the end of a PATH search with its task", "on_task_exit"),
)


def _exec_returns(target: str, whose: str, *, optional: bool) -> Hook:
    return Hook(
        "fexit",
        target,
        f"{_THE_CALL}, {whose}",
        "on_exec_return",
        optional=optional,
        tail_call="on_failure",
        is_event=True,
    )


FENTRY: Final = Plan(
    "fentry",
    ("BTF", "trampolines", "raw tracepoints", "ring buffer"),
    (
        *(
            _exec_returns(target, entry.callers, optional=entry.optional)
            for entry in _ENTRY_POINTS
            for target in entry.functions
        ),
        Hook(
            "fexit",
            "kernel_execve",
            f"the event, {_THE_KERNELS}",
            "on_kernel_execve_return",
            optional=True,
            tail_call="on_failure",
            is_event=True,
        ),
        Hook("fentry", "alloc_bprm", _THE_PATH, "on_copied_path", optional=True),
        Hook("fentry", "security_bprm_creds_for_exec", _THE_FILE, "on_creds", optional=True),
        Hook("fentry", "free_bprm", f"{_THE_REST}; binary of other failures", "on_free_bprm", optional=True),
        Hook(
            "fexit",
            "bprm_execve",
            f"{_THE_REST}; binary of other failures",
            "on_bprm_execve",
            optional=True,
            instead_of="free_bprm",
        ),
        *(Hook("fentry", target, _NOTHING_STALE, "on_call", optional=True) for target in _EXEC_FUNCTIONS),
        *_SEARCHES,
    ),
    all_failures=(
        Hook(
            "raw_tracepoint",
            "sys_exit",
            "the event of calls that never reach the exec functions (seccomp, x32 that is off)",
            "on_sys_exit",
            tail_call="on_failure",
            is_event=True,
        ),
    ),
    features=frozenset(("JOINED", "FEXIT")),
)

_OF_THE_KERNEL: Final = (
    Hook(
        "kprobe",
        "kernel_execve",
        _THE_KERNELS,
        "on_kernel_execve",
        optional=True,
    ),
    Hook(
        "kretprobe",
        "kernel_execve",
        f"the event of {_THE_KERNELS}",
        "on_kernel_execve_return",
        optional=True,
        tail_call="on_failure",
    ),
)
_RESETS: Final = tuple(
    Hook("kprobe", target, _NOTHING_STALE, "on_call", optional=True) for target in _EXEC_FUNCTIONS
)
_SYS_EXIT: Final = Hook(
    "raw_tracepoint", "sys_exit", _THE_CALL, "on_sys_exit", tail_call="on_failure", is_event=True
)

KPROBE: Final = Plan(
    "kprobe",
    ("kprobes", "raw tracepoints", "ring buffer"),
    (
        _SYS_EXIT,
        Hook("kprobe", "alloc_bprm", _THE_PATH, "on_copied_path", optional=True),
        Hook("kprobe", "security_bprm_creds_for_exec", _THE_FILE, "on_creds"),
        Hook("kprobe", "free_bprm", f"{_THE_REST}; binary of other failures", "on_free_bprm", optional=True),
        *_OF_THE_KERNEL,
        *_RESETS,
        *_SEARCHES,
    ),
    features=frozenset(("JOINED",)),
)
LEGACY: Final = Plan(
    "legacy",
    ("kprobes", "raw tracepoints"),
    (
        _SYS_EXIT,
        Hook("kprobe", "alloc_bprm", _THE_PATH, "on_copied_path", optional=True),
        Hook("kprobe", "do_open_execat", _THE_PATH, "on_copied_path", optional=True),
        Hook("kprobe", "security_bprm_check", _THE_FILE, "on_check"),
        Hook("kprobe", EXEC_BINPRM, _THE_FILE, "on_check", optional=True),
        Hook("kretprobe", EXEC_BINPRM, _THE_REST, "on_exec_binprm_return", optional=True),
        Hook("kprobe", "free_bprm", f"{_THE_REST}; binary of other failures", "on_free_bprm", optional=True),
        *_OF_THE_KERNEL,
        Hook("kprobe", "do_execve", _THE_KERNELS, "on_do_execve", optional=True),
        Hook(
            "kretprobe",
            "do_execve",
            f"the event of {_THE_KERNELS}",
            "on_kernel_execve_return",
            optional=True,
            tail_call="on_failure",
        ),
        *_RESETS,
        *_SEARCHES,
    ),
    features=frozenset(("JOINED", "PERF_BUFFER")),
)
TRACEPOINT: Final = Plan(
    "tracepoint",
    ("raw tracepoints", "ring buffer"),
    (
        Hook(
            "raw_tracepoint",
            "sys_exit",
            f"{_THE_CALL}; binary and interpreter_path are looked up right after",
            "on_sys_exit",
            is_event=True,
        ),
        Hook(
            "tracepoint",
            "syscalls:sys_enter_execve",
            f"{_PATH_BEFORE}, 64-bit callers",
            "on_call",
            optional=True,
        ),
        Hook(
            "tracepoint",
            "syscalls:sys_enter_execveat",
            f"{_PATH_BEFORE}, 64-bit callers",
            "on_call",
            optional=True,
        ),
        *_SEARCHES,
    ),
)
PLANS: Final = (FENTRY, KPROBE, LEGACY, TRACEPOINT)
"""Best first."""
NAMES: Final = tuple(plan.name for plan in PLANS)
