"""The table of groups."""

__all__ = ["group_pane"]
