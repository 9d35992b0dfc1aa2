"""Tests of what is forbidden: every kind of key at every endpoint, and merchants at each other's books."""
