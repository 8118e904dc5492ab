"""Take records and counters out of the kernel's buffers, and decode them."""

__all__ = ["reader"]
