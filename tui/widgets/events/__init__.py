"""The table of events."""

__all__ = ["columns", "event_table", "search_words", "table_header"]
