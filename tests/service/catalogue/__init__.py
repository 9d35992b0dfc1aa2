"""Price lists of others: what their entries cost here, and what an import of them would change."""
