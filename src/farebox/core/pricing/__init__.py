"""The arithmetic of prices: rules as data, and what a request costs by one. It knows nothing of the ledger."""
