"""Training: the loop, its options, its callbacks."""
