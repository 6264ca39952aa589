"""ASGI code shared by gateway, manager and workers: errors, request ids, access log, metrics, health, relaying."""
