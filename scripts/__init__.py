"""Commands for developers and for running Enginehouse. The Makefile calls them."""
