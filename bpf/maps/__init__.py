"""The maps that the kernel program shares, and the system calls that reach them."""

__all__ = ["counters", "misses", "syscalls"]
