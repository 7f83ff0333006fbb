"""The driver: the thin adapter between libfuse and the tree."""
