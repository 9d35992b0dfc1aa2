"""Price lists that others keep: their entries read as rules, a markup, and what an import would change."""
