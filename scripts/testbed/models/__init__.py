"""Tiny models of real classes, in the hub's own layout: one file a kind of model, one `build_…(folder)` a family."""
