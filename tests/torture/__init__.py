"""Servers that are killed under load, and a record of what clients were told, to be held against the ledger."""
