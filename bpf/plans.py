"""The hook plans, as tables: what each attaches to, and what it needs of the kernel (SPEC section 3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

HookKind = Literal["raw_tracepoint", "fexit", "kprobe", "kretprobe"]
Need = Literal["BTF", "raw tracepoints", "ring buffer", "kprobes", "trampolines"]


@dataclass(frozen=True, slots=True)
class Hook:
    """One place in the kernel that a plan attaches to.

    Attributes:
        kind: How it is attached.
        target: The tracepoint or kernel function.
        tells: What of the record comes from here.
        program: The function of exec_failures.c; None where this version has none yet.
    """

    kind: HookKind
    target: str
    tells: str
    program: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """A way to see failing execs.

    Attributes:
        name: As --plan takes it.
        needs: What the kernel has to allow, found out by ``bpf.kernel``.
        hooks: Where it attaches.
    """

    name: str
    needs: tuple[Need, ...]
    hooks: tuple[Hook, ...]

    @property
    def complete(self) -> bool:
        """Whether this version has the programs of all its hooks."""
        return all(hook.program for hook in self.hooks)


FENTRY: Final = Plan(
    "fentry",
    ("BTF", "trampolines", "ring buffer"),
    (
        Hook("fexit", "__x64_sys_execve", "the event"),
        Hook("fexit", "__x64_sys_execveat", "the event"),
        Hook("fexit", "__ia32_compat_sys_execve", "the event, 32-bit callers"),
        Hook("fexit", "__ia32_compat_sys_execveat", "the event, 32-bit callers"),
        Hook("fexit", "kernel_execve", "the event, the kernel's own execs"),
        Hook("fexit", "bprm_execve", "binary, interpreter_path, argc, envc"),
    ),
)
KPROBE: Final = Plan(
    "kprobe",
    ("kprobes", "raw tracepoints", "ring buffer"),
    (
        Hook("kprobe", "security_bprm_creds_for_exec", "binary, interpreter_path, arguments, environment"),
        Hook("kprobe", "free_bprm", "binary and interpreter_path of other failures"),
        Hook("raw_tracepoint", "sys_exit", "the event"),
    ),
)
LEGACY: Final = Plan(
    "legacy",
    ("kprobes", "raw tracepoints"),
    (
        Hook("kprobe", "security_bprm_check", "binary"),
        Hook("kprobe", "free_bprm", "interpreter_path, argc, envc"),
        Hook("raw_tracepoint", "sys_exit", "the event"),
    ),
)
TRACEPOINT: Final = Plan(
    "tracepoint",
    ("BTF", "raw tracepoints", "ring buffer"),
    (
        Hook(
            "raw_tracepoint",
            "sys_exit",
            "the event, path, arguments, environment, stdin and the caller; binary and interpreter_path are "
            "looked up right after",
            "on_sys_exit",
        ),
        Hook("raw_tracepoint", "sched_process_exec", "that a PATH search has found its program", "on_exec"),
        Hook("raw_tracepoint", "sched_process_exit", "that a PATH search has ended", "on_task_exit"),
    ),
)
PLANS: Final = (FENTRY, KPROBE, LEGACY, TRACEPOINT)
"""Best first."""
NAMES: Final = tuple(plan.name for plan in PLANS)
