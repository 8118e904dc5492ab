"""Text from processes: printable, without secrets, quoted for a shell."""

__all__ = ["counted", "fault", "printable", "secret_words", "secrets", "shell_word"]
