"""What `scripts/bench` runs: real mounts of a simulated server in a process of its own."""
