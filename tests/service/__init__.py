"""What stands between the doors and the ledger."""
