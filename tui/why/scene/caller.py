"""What the caller may have done itself: faked its error, or changed since what is seen now."""

from __future__ import annotations

from execwhy.tui.why.scene.scene import Scene


def forged(scene: Scene) -> str | None:
    """Return a sentence if something other than the kernel may have made the error, else None.

    It is for causes that have no other evidence than the error. A seccomp filter can return any errno and is
    never removed, so a thread that has none had none. A tracer can answer a call in the kernel's place
    (PTRACE_SYSEMU), and may have left before the look; a user can trace their own threads, so only root's are
    free of that. A thread that is gone may have had either. An exec for which the kernel had opened a file
    got past both.
    """
    record, binary = scene.record, scene.record.binary
    if binary is not None and binary.source == "kernel":
        return None
    status = scene.process.read("status")
    if status is None:
        return "Whether a seccomp filter made this error is not known, because the caller was gone."
    values = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    if values.get("Seccomp", "0").strip() != "0":
        return "The caller runs under a seccomp filter, which can make this error."
    if values.get("TracerPid", "0").strip() != "0":
        return "The caller is traced, and a tracer can make this error."
    if record.foreign_user_ns or record.uid or record.euid or record.fsuid:
        return "A tracer may have made this error and left since."
    return None


def may_have_dropped(scene: Scene, inheritable: int) -> str | None:
    """Return a sentence if the caller may have dropped capabilities of its bounding set since the exec.

    Anyone may drop them from the inheritable set, which would have been enough for those in ``inheritable``.
    Dropping them from the bounding set takes CAP_SETPCAP. In the first user namespace only root has that; in
    one of its own anyone has, and anyone may have entered one since.
    """
    if inheritable:
        return "It may have dropped that from its inheritable set since."
    if scene.credentials.has_all_ids and scene.process.has_all_ids:
        return None
    return "In its user namespace it may have dropped that since."


def rewritable(scene: Scene) -> str | None:
    """Return a sentence if the kernel may have copied another argv and envp than was read.

    They can lie in another mapping than the path, so a path in memory of its own proves nothing about them.
    """
    if scene.record.arguments_source == "kernel":
        return None
    return "The strings were read in the caller's memory, which others may have changed after the kernel did."


def undated(scene: Scene, what: str) -> str:
    """Return a sentence about what was seen only at the look, and may have been different at the exec."""
    return f"{what} was looked at {scene.later}; what it was at the exec is not known."
