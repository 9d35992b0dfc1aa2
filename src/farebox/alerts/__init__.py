"""Telling people that a balance runs low: what the mail says, how it travels, and that each is owed once."""
