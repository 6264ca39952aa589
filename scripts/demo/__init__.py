"""Shows a house at work: `make demo`."""
