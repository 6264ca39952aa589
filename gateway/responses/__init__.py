"""Responses that are kept: for clients that continue one by its id, retrieve it, or let it run in the background."""
