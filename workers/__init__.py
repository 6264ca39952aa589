"""One process that serves one model; ended when nobody asks for it, so that its memory really comes back."""
