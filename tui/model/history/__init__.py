"""The events in memory."""

__all__ = ["block", "columns", "pool", "repeats", "resident", "store"]
