"""Decides which worker runs, waits and goes, and owns every worker's process."""
