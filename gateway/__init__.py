"""The public end of the house: authenticates, limits, validates and forwards."""
