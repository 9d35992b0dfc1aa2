"""A merchant's own pages beside the overview: statement, prices, alerts, keys, people, and the Balance API."""
