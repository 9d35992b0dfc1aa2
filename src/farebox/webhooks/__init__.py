"""Webhooks: how events are signed, sent to URLs that others chose, delivered in order, and given up."""
