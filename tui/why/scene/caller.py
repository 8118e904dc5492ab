"""What the caller can have done itself: made its error by a filter, or changed since what is seen now."""

from __future__ import annotations

from execwhy.tui.why.scene.scene import Scene


def forged(scene: Scene) -> str | None:
    """Return a sentence if the error can have been made by another, for a cause that has no other evidence.

    A seccomp filter returns any errno that it likes, and is never taken off again: a thread that has none had
    none. A tracer answers a call in the kernel's place, too (PTRACE_SYSEMU), and can have left before the
    look. Whose thread it is can trace it, so of that only root's are free. One that is gone may have had
    either. An exec for which the kernel had opened a file got past both.
    """
    record, binary = scene.record, scene.record.binary
    if binary is not None and binary.source == "kernel":
        return None
    status = scene.process.read("status")
    if status is None:
        return "Whether a seccomp filter made this error is not known, as the caller was gone."
    values = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    if values.get("Seccomp", "0").strip() != "0":
        return "The caller runs under a seccomp filter, which can make this error."
    if values.get("TracerPid", "0").strip() != "0":
        return "The caller is traced, and a tracer can make this error."
    if record.foreign_user_ns or record.uid or record.euid or record.fsuid:
        return "A tracer can have made this error, and left since."
    return None


def may_have_dropped(scene: Scene, inheritable: int) -> str | None:
    """Return a sentence if the caller may have dropped capabilities of its bounding set since the exec.

    From its inheritable set anyone drops them, and of ``inheritable`` that would have been enough. From the
    bounding set that takes CAP_SETPCAP. Who has it in the first user namespace is root; in one of its own,
    anyone, and anyone can have gone into one since.
    """
    if inheritable:
        return "It may have dropped that from its inheritable set only since."
    if scene.credentials.has_all_ids and scene.process.has_all_ids:
        return None
    return "In its user namespace it may have dropped that only since."


def rewritable(scene: Scene) -> str | None:
    """Return a sentence if argv and envp may have been others when the kernel copied them.

    That the memory of the path was nobody else's says nothing of theirs: they can lie in another mapping.
    """
    if scene.record.arguments_source == "kernel":
        return None
    return "The strings were read in the caller's memory, which others may have changed after the kernel did."


def undated(scene: Scene, what: str) -> str:
    """Return a sentence on what was seen only at the look, and may have come to be so since the exec."""
    return f"{what} was looked at {scene.later}; what it was at the exec is not known."
