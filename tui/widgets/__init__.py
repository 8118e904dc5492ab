"""One widget a file."""

__all__ = ["body"]
