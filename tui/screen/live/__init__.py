"""What keeps the screen up to date while events come."""

__all__ = ["intake", "state", "ticker", "updates", "view_control"]
