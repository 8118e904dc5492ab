"""Causes of ENOEXEC and similar errors: the file exists, and the kernel cannot run it."""

__all__ = ["malformed", "shebang"]
