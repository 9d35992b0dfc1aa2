"""Charges of one process share requests: what goes out together, and how tasks and threads wait for their outcomes."""
