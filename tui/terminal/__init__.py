"""The terminal: what reaches it, what comes from it, and how it is restored."""

__all__ = ["control_char_filter", "descriptors", "terminal", "typed_ahead"]
