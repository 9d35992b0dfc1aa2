"""What Farebox does: moves of money, reads, and what support sets up. API, pages and command line all ask here."""
