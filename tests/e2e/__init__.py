"""Whole servers, over real sockets and databases."""
