-- Prices: versions of the defaults and of merchants' own.

-- insert_default_price: add a version of a default price
INSERT INTO default_price ({default_price.stored}, created_at) VALUES ({default_price.values}, $5);

-- insert_merchant_price: add a version of a merchant's own price
INSERT INTO merchant_price ({merchant_price.stored}, created_at) VALUES ({merchant_price.values}, $6);

-- later_price: tell whether a type has a price, a default or a merchant's own, that starts later than a time
-- and yet was made after it, or has started by the time of the merchant's last transfer
SELECT 1 FROM default_price
WHERE request_type = $2 AND starts_at > $3
    AND (created_at > $3 OR starts_at <= (SELECT last_at FROM account WHERE merchant_id = $1))
UNION ALL
SELECT 1 FROM merchant_price
WHERE merchant_id = $1 AND request_type = $2 AND starts_at > $3
    AND (created_at > $3 OR starts_at <= (SELECT last_at FROM account WHERE merchant_id = $1))
LIMIT 1;

-- price_made_after: tell whether a default price was made after a time
SELECT 1 FROM default_price WHERE created_at > $1 LIMIT 1;

-- default_prices: list every version of the default prices
SELECT {default_price} FROM default_price ORDER BY request_type, starts_at, price_id;

-- merchant_prices: list every version of a merchant's own prices
SELECT {merchant_price} FROM merchant_price WHERE merchant_id = $1 ORDER BY request_type, starts_at, price_id;
