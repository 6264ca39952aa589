"""What the programs share: configuration, tasks, errors, status. Imports none of them."""

__version__ = "0.1.0"
