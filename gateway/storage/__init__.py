"""Databases for what must survive. Jobs and stored responses say what their tables hold."""
