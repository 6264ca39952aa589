"""Starts, stops, shows and installs the house on this machine; what `make start` and its kin call."""
