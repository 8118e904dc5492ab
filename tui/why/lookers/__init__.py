"""Looks at failed execs in processes of their own, so that no look can hold anyone up."""

__all__ = ["dispatcher", "fair_queue", "process", "ready", "spawner"]
