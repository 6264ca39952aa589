"""`enginehouse doctor`: what is wrong on this machine, and the command that puts it right."""
