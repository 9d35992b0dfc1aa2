"""Tests of the alerts: what a mail says, how it travels, and that each is owed once."""
