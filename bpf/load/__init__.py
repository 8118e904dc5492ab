"""Find out what this kernel allows, compile, load and attach."""

__all__ = ["check", "loader", "probe", "rlimits", "support"]
