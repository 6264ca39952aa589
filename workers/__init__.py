"""One process that serves one model, and ends when the model is idle, so that all of its memory is freed."""
