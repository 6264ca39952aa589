"""Bundles the JavaScript libraries of the page, so that the page loads nothing from another server."""
