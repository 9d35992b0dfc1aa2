-- Budgets of merchants' API keys.

-- budgets_of_merchants: read all budgets of merchants, each a limit and what was spent of it
SELECT {budget} FROM key_budget WHERE merchant_id {in $1} ORDER BY merchant_id, budget_id, unit;

-- budgets_of_keys: tell which of merchants' API keys spends from which budget
SELECT merchant_id, key_id, budget_id FROM merchant_key WHERE merchant_id {in $1};

-- delete_budget: take a budget's limits away
DELETE FROM key_budget WHERE merchant_id = $1 AND budget_id = $2;

-- insert_budget: add one of a budget's limits
INSERT INTO key_budget ({budget.stored}) VALUES ({budget.values});

-- set_budget_of_keys: say which budget a merchant's keys spend from
UPDATE merchant_key SET budget_id = $3 WHERE merchant_id = $1 AND key_id {in $2};
