"""A whole ledger moves from one database to another: copied, caught up with, compared, and switched to."""
