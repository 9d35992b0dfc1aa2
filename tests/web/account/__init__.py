"""A merchant's own pages."""
