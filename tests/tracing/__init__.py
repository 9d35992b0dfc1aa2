"""Traces: what a server tells a collector, and what it costs one that tells nothing."""
