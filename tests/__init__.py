"""The tests of Farebox."""
