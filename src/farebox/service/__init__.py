"""What Farebox does: moves of money, reads, and what support sets up, whichever door asks."""
