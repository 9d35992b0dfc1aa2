"""What a migration does that SQL can't: the program makes statements of what it reads, within the same transaction."""
