"""What a record is, and where records come from."""

__all__ = [
    "accounts", "arrivals", "clock", "fields", "identity", "identity_memo", "kinds", "known", "loss",
    "record", "source", "users",
]  # fmt: skip
