"""What the programs of the house have agreed: configuration, tasks, errors, status. Imports nothing of ours."""
