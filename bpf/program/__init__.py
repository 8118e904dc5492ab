"""The program that runs in the kernel: its text, its layout and the hook plans."""

__all__ = ["btf", "header_types", "headers", "layout", "limits", "plans", "text"]
