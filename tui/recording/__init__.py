"""Write events to a file as they come (``--record``)."""

__all__ = ["instrumented", "recorder", "result"]
