"""A module that raises what a user's Ctrl-C does."""

raise KeyboardInterrupt
