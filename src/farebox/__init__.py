"""Farebox keeps prepaid balances for pay-per-request APIs."""
