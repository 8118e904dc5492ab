"""What other processes have to do with a failed exec, found by bounded looks through /proc."""

__all__ = ["holders"]
