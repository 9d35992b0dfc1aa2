"""The gate's rules, paths and tokens."""
