"""Evaluation: scores with intervals, and what follows a training."""
