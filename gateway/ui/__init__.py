"""The page at /ui: its files, and the routes that serve them. What it shows, it asks of the public API."""
