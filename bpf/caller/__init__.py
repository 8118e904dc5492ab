"""The caller's world: its root directory, paths, mounts and cgroups."""

__all__ = [
    "binfmt",
    "caller_root",
    "cgroups",
    "descriptors",
    "hierarchies",
    "lookup",
    "mountinfo",
    "mounts",
    "namespaces",
    "own_time",
    "processes",
    "resolution",
    "walk",
]
