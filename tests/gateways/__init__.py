"""Farebox's gate in front of an API, behind the programs that people run."""
