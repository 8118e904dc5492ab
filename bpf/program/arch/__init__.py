"""What depends on the processor: one descriptor and one C file for each architecture."""

__all__ = ["machines"]
