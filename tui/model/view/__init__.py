"""Which rows a filter shows, repeats and groups."""

__all__ = ["finding", "group_by", "groups", "moment", "view"]
