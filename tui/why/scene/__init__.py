"""What can be seen of a failed exec, and what that proves."""

__all__ = [
    "advise",
    "caller",
    "credentials",
    "handlers",
    "moment",
    "mount_watch",
    "mounts",
    "processes",
    "readings",
    "scene",
    "words",
]
