"""Causes of ENOEXEC and its kin: the file is there, and the kernel cannot run it."""

__all__ = ["malformed", "shebang"]
