"""Prices, charges, quotes and costs in words for people."""
