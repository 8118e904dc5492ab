"""Write events to a file as they come (``--record``)."""

__all__ = ["bounds", "instrumented", "output", "recorder", "rotation"]
