"""Tiny models with random weights, made on the spot, so that the house can be shown and tested with no model hub."""
