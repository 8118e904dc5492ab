"""The files of a recording: their bounds, the shares of users, rotation."""

__all__ = ["bounded", "bounds", "omissions", "output", "rotation", "shares"]
