"""Tests of what moves a ledger from one database to another."""
