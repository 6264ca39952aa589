"""The last hour of memory and work, in rings of a fixed size."""
