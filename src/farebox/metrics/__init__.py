"""Metrics: what a server counts and measures of itself and of its ledger, for Prometheus and what reads its format."""
