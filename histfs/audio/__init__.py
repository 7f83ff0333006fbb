"""The audio store: a bounded cache on disk, and the downloads that fill it."""
