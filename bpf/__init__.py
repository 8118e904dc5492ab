"""From the kernel to a record. Knows no screen and no file format."""

__all__ = ["priority", "privileges"]
