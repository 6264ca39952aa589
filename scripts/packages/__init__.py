"""Installs Enginehouse's libraries: which engines, in which versions, with pip and a display of its progress.

`choice`, `installer`, `pip_progress` and `torch_build` run before any library is installed, so they import only the
standard library.
"""
