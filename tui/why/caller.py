"""What the caller can have done itself: made its error by a filter, or changed since what is seen now."""

from __future__ import annotations

from tui.why.scene import Scene


def forged(scene: Scene) -> str | None:
    """Return a sentence if a seccomp filter can have made the error, for a cause that has no other evidence.

    A filter returns any errno that it likes, and is never taken off again. So a caller that has none had
    none; one that is gone may have had its own. An exec for which the kernel had opened a file got past it.
    """
    binary = scene.record.binary
    if binary is not None and binary.source == "kernel":
        return None
    status = scene.of_caller("status")
    if status is None:
        return "Whether a seccomp filter made this error is not known, as the caller was gone."
    mode = next((line.split()[1] for line in status.splitlines() if line.startswith("Seccomp:")), "0")
    return None if mode == "0" else "The caller runs under a seccomp filter, which can make this error."


def may_have_dropped(scene: Scene) -> str | None:
    """Return a sentence if the caller may have dropped capabilities of its bounding set since the exec.

    That takes CAP_SETPCAP. Who has it in the first user namespace is root; in one of its own, anyone.
    """
    own = scene.credentials.has_all_ids is False
    return "In its user namespace it may have dropped that only since." if own else None


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
