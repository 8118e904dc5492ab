"""Help, copying and saving."""

__all__ = ["copy_menu", "help", "save_dialog", "snapshot_writer"]
