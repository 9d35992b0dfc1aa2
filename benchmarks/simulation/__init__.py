"""What many servers over one PostgreSQL would do, and over one spread by merchant: simulated, from measured costs.

Nothing is measured here, and nothing that measures is imported but the types of its results.
"""
