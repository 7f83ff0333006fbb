"""The audio cache: clips on disk, bounded, and the downloads that fill it."""
