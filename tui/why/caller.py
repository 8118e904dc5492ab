"""What the caller can have done itself: made its error by a filter, or dropped a capability only since."""

from __future__ import annotations

from typing import Final

from tui.why.scene import Scene

_ALL_IDS: Final = 2**32 - 1
"""As many as the first user namespace has (uid_map of user_namespaces(7))."""


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
    ranges = scene.credentials.uid_ranges
    own = ranges is not None and sum(count for _, count in ranges) < _ALL_IDS
    return "In its user namespace it may have dropped that only since." if own else None
