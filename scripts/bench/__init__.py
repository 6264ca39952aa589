"""Compares Enginehouse with the simplest program that does the same work, in one run: `python -m scripts.bench`.

One file for each measurement. Absolute values depend on the machine and its load, so what counts is the ratio of two
things that are measured in turns.
"""
