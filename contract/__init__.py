"""What the programs of the house have agreed: configuration, tasks, errors, status. Imports nothing of ours."""

__version__ = "0.1.0"
