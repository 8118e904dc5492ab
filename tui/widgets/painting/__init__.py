"""How every widget draws."""

__all__ = ["accounts", "error_class", "painted", "row_window", "screen_picture", "shorten", "sparkline"]
