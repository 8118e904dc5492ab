"""What can be seen of a failed exec, and what that proves."""

__all__ = [
    "caller",
    "credentials",
    "files",
    "handlers",
    "moment",
    "mount_watch",
    "mounts",
    "proc",
    "readings",
    "scene",
    "words",
]
