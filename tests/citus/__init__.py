"""What only a Citus that runs can show; `make citus` runs these tests, and nothing else does."""
