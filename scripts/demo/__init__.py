"""Shows Enginehouse at work: `make demo`."""
