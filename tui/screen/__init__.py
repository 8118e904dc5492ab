"""The screen: what it consists of, its keys and what they do."""

__all__ = ["app"]
