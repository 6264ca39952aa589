"""`enginehouse run`: asks a model, in the terminal."""
