"""Imports from other systems: merchants, opening balances, prices and keys, out of CSV that is checked as a whole."""
