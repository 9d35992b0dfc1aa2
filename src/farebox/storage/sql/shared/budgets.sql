-- Budgets of merchants' API keys.

-- budgets_of_merchants: read all budgets of merchants, each a limit and what was spent of it
SELECT {budget} FROM key_budget WHERE merchant_id {in $1} ORDER BY merchant_id, budget_id, unit;

-- budgets_of_keys: tell which of merchants' API keys spends from which budget
SELECT merchant_id, key_id, budget_id FROM merchant_key WHERE merchant_id {in $1};
