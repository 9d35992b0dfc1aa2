"""What moves or reads money: commands to the committer, its batches, balances and accounts, and holds that run out."""
