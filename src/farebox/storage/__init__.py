"""Where the ledger is kept: one protocol, and an engine each for SQLite and PostgreSQL."""
