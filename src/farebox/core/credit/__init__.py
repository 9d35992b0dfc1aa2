"""Credit and its limits: grants beside paid money, budgets of API keys, and what was due and could not be taken."""
