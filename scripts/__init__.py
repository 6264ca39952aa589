"""Programs for whoever works on the house; each says what it does when it is run."""
