"""Names the cause of each failed exec, with its evidence."""
