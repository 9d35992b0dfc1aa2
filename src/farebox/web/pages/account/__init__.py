"""A merchant's own pages beside the overview: statement, prices, alerts, keys, users, and the Balance API."""
