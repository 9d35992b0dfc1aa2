"""Webhooks: signatures, the guard before connections, one POST, and the queue."""
