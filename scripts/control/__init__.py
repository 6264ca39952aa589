"""Starts, stops, shows and installs Enginehouse on this machine. `make start` and similar targets call it."""
