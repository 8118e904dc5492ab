"""Faults of the program itself: contained where they happen; a crash loses no events."""

__all__ = ["contained", "contained_app", "crash"]
