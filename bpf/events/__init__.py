"""What a record is, and where records come from."""

__all__ = ["clock", "fields", "identity_memo", "known", "record", "source", "users"]
