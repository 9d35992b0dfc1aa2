"""Metrics: what is counted, and that it is told of the whole server."""
