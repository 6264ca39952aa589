"""Shows the models that the house knows; what `make models` calls."""
