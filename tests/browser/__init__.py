"""Pages and clients in a real browser."""
