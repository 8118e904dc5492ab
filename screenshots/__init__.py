"""The pictures of the README, from execs that really fail."""
