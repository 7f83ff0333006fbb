"""Sources: list, get and delete items, and open their audio."""
