"""Tiny models of real classes, laid out as on the hub: a file per kind of model, a `build_…(folder)` per family."""
