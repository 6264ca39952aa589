"""The public API: authenticates, limits and validates requests, and forwards them to the manager."""
