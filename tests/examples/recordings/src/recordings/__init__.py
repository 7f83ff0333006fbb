"""Plugins for histfs: a folder of recordings as a source, a view of them, and a file."""
