"""Events in files: JSON Lines, CSV, recordings, metrics."""

__all__ = ["bug_report", "event_lines", "merging", "metrics", "safe_file", "shell_command", "snapshot"]
