"""The manager: decides which models run, starts and stops their workers, and forwards requests to them."""
