"""The distributions that are released, and what they are deployed by."""
