"""The facts of one event."""

__all__ = ["detail_pane", "fact", "facts", "loss_facts"]
