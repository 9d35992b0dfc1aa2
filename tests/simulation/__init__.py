"""Whole servers on a simulated clock, store and network: what happens follows from a seed, and can be had again."""
