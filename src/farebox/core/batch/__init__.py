"""What one batch of commands sees and changes, by subject, while `decide` goes from one command to the next."""
