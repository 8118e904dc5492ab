"""Causes of ENOENT: something on the way does not exist."""

__all__ = ["missing", "paths"]
