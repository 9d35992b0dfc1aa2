"""What watchers keep beside batches: thresholds in days left, and what merchants spend at most."""
