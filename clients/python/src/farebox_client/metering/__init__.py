"""Charges in the background: accepted once they are on disk, and made as soon as that can be."""
