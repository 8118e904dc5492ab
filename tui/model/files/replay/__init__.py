"""Recordings and snapshots read back as a source of events."""

__all__ = ["merging"]
