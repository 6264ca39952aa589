"""Shows the models of the catalogue. `make models` calls it."""
