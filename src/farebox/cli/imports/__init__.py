"""Commands that bring in what others have written: merchants with their balances, and prices."""
