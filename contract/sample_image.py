"""A small image for the examples of the API reference, so that they work as they are."""

from __future__ import annotations

SAMPLE_IMAGE = (
    "iVBORw0KGgoAAAANSUhEUgAAAEAAAAAwCAAAAACEICPDAAAAL0lEQVR42mO4QyFgGDVg1IBRA2hogAYOMGrAqAGjBowaMBINGK0X"
    "Rg0YNWAADAAAHn7++UDxhKkAAAAASUVORK5CYII="
)
"""Base64 of a PNG file: a dark rectangle on a light ground, 64x48 pixels."""
