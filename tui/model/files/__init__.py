"""Events in files: JSON Lines, CSV, recordings, metrics."""

__all__ = [
    "bug_report",
    "event_lines",
    "json_lines",
    "live_file",
    "metrics",
    "safe_file",
    "shell_command",
    "snapshot",
]
