"""The gateway as a process of its own, before a fake manager in another."""
