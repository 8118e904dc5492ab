"""Lines of input and of state."""

__all__ = ["filter_bar", "key_bar", "rate", "search_bar", "status_bar"]
