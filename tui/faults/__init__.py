"""Faults of the program itself: contained where they happen, and nothing lost by a crash."""

__all__ = ["contained", "contained_app", "crash"]
