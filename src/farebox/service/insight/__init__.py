"""What is worked out of the books and never decides about money: usage, history, runway and their snapshots."""
