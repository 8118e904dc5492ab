"""From the kernel to a record. Knows no screen and no file format."""
