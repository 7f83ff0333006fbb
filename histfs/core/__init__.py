"""The pure core: words, rules and decisions, with no FUSE, no network and no SQL in it."""
