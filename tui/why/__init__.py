"""Why a start failed: looks, causes and their evidence."""

__all__ = ["look"]
