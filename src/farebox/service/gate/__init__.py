"""The gate: what a request to somebody's API costs before it is let through, by rules that the operator writes."""
