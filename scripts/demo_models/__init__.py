"""Builds tiny models with random weights, for demos and tests without a model hub."""
