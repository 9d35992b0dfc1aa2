"""Credit and its limits: grants, which a wallet holds beside paid money, and budgets of API keys."""
