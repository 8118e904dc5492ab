"""See the caller's world: its root directory, paths, mounts and cgroups."""

__all__ = ["binfmt", "caller_root", "cgroups", "hierarchies", "lookup", "mounts", "own_time", "walk"]
