"""Looks at failed execs in processes of their own, so that no look can hold anyone up."""
