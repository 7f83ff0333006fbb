"""A long run: everything is used, everything goes wrong, and nothing may be lost or wrong."""
