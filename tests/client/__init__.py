"""Tests of what services use in their own processes."""
