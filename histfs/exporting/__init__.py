"""Copies of a history for other programs: its items as a table, and an export with the audio."""
