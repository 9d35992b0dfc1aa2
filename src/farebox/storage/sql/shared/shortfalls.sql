-- What transfers were due beyond their amounts, and what is owed of it.

-- owed_shortfalls: read those of which merchants owe something, each merchant's oldest first
SELECT {shortfall} FROM shortfall WHERE merchant_id {in $1} AND owed > 0 ORDER BY merchant_id, seq;

-- shortfalls_of: list all of merchants' shortfalls, each merchant's oldest first
SELECT {shortfall} FROM shortfall WHERE merchant_id {in $1} ORDER BY merchant_id, seq;
