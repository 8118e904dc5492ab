"""The terminal: what reaches it, and how it is given back."""

__all__ = ["control_char_filter", "descriptors", "terminal", "typed_ahead"]
