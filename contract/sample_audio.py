"""A short recording for the examples of the API reference, so that they work as they are."""

from __future__ import annotations

SAMPLE_AUDIO = (
    "UklGRogAAABXQVZFZm10IBAAAAABAAEA0AcAANAHAAABAAgAZGF0YWQAAACAo7m5o4BcRkZcf6O5uaOAXEZGXH+jubmjgFxGRlx/o7m5"
    "o4BcRkZcf6O5uaOAXEZGXH+jubmjf1xGRlx/o7m5o4BcRkZcf6O5uaOAXEZGXH+jubmjf1xGRlx/o7m5o39cRkZc"
)
"""Base64 of a WAV file: a tone of 200 Hz, 0.05 seconds long."""
