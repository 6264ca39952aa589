"""The command `enginehouse`: runs the server, shows it, and uses it, here or on another machine."""
