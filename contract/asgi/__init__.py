"""What gateway, manager and worker apps share: errors, request ids, access log, metrics, health, relaying bytes."""
