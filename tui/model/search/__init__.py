"""PATH searches: which failed execs are tries of one."""

__all__ = ["searches", "tries"]
