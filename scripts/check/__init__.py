"""Checks what no linter knows: that the docs describe the code, that names are unique and files short."""
