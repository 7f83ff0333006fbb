"""The soak test: random use of two mounts while faults of every kind are injected.

No item may be lost, wrong, or wrongly shown as gone, and no resource may leak.
"""
