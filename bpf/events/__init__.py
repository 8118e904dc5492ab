"""What a record is, and where records come from."""

__all__ = ["accounts", "clock", "fields", "identity_memo", "known", "record", "source", "users"]
