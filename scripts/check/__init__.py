"""Checks what no linter knows: that the docs tell what the code does, that files stay short, that names exist."""
