"""What a book must look like, worked out of its transfers: balances, hashes, holds, prices, counts, credit, alerts."""
