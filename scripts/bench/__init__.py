"""Measures the house beside the simplest thing that could do the same work, in one run: `python -m scripts.bench`.

One file a measurement. A machine that others use too makes every absolute value doubtful, so what counts is the ratio
of two things that were measured in turns.
"""
