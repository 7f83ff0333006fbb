"""The catalog: the cache of one account's history on this machine."""
