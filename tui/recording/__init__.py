"""Write events to a file as they come (``--record``)."""

__all__ = ["bounded", "instrumented", "output", "recorder", "rotation"]
