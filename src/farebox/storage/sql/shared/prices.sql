-- Prices: versions of the defaults and of merchants' own.

-- insert_default_price: add a version of a default price
INSERT INTO default_price ({default_price.stored}, created_at) VALUES ({default_price.values}, {default_price.next});

-- insert_merchant_price: add a version of a merchant's own price
INSERT INTO merchant_price ({merchant_price.stored}, created_at) VALUES ({merchant_price.values}, {merchant_price.next});

-- later_price: tell whether a type has a price, a default or a merchant's own, that starts later than a time
-- and yet was made after it, or has started by the time of the merchant's last transfer
SELECT 1 FROM default_price
WHERE request_type = $2 AND starts_at > $3 AND withdrawn_at IS NULL AND NOT is_end
    AND (created_at > $3 OR starts_at <= (SELECT last_at FROM account WHERE merchant_id = $1))
UNION ALL
SELECT 1 FROM merchant_price
WHERE merchant_id = $1 AND request_type = $2 AND starts_at > $3 AND withdrawn_at IS NULL AND NOT is_end
    AND (created_at > $3 OR starts_at <= (SELECT last_at FROM account WHERE merchant_id = $1))
LIMIT 1;

-- price_made_after: tell whether a default price was made after a time
SELECT 1 FROM default_price WHERE created_at > $1 LIMIT 1;

-- default_prices: list every version of the default prices
SELECT {default_price} FROM default_price ORDER BY request_type, starts_at, price_id;

-- merchant_prices: list every version of a merchant's own prices
SELECT {merchant_price} FROM merchant_price WHERE merchant_id = $1 ORDER BY request_type, starts_at, price_id;

-- default_prices_page: list versions of the default prices that come after a type, a start and an id
SELECT {default_price} FROM default_price WHERE (request_type, starts_at, price_id) > ($1, $2, $3)
ORDER BY request_type, starts_at, price_id LIMIT $4;

-- merchant_prices_page: list versions of a merchant's own prices that come after a type, a start and an id
SELECT {merchant_price} FROM merchant_price
WHERE merchant_id = $1 AND (request_type, starts_at, price_id) > ($2, $3, $4)
ORDER BY request_type, starts_at, price_id LIMIT $5;

-- default_price: read one version of a default price
SELECT {default_price} FROM default_price WHERE price_id = $1;

-- merchant_price: read one version of a merchant's own price
SELECT {merchant_price} FROM merchant_price WHERE merchant_id = $1 AND price_id = $2;

-- default_prices_made_with: list the default prices that were made at the same time as one of them
SELECT {default_price} FROM default_price
WHERE created_at = (SELECT created_at FROM default_price WHERE price_id = $1)
ORDER BY request_type, starts_at, price_id;

-- merchant_prices_made_with: list the prices of a merchant's own that were made at the same time as one of them
SELECT {merchant_price} FROM merchant_price
WHERE merchant_id = $1
    AND created_at = (SELECT created_at FROM merchant_price WHERE merchant_id = $1 AND price_id = $2)
ORDER BY request_type, starts_at, price_id;

-- default_price_versions: list every version of the default price of a type
SELECT {default_price} FROM default_price WHERE request_type = $1 ORDER BY starts_at, price_id;

-- merchant_price_versions: list every version of a merchant's own price of a type
SELECT {merchant_price} FROM merchant_price WHERE merchant_id = $1 AND request_type = $2 ORDER BY starts_at, price_id;

-- own_prices_count: tell how many merchants have a price of their own of a type in force at a time
SELECT count(*) FROM merchant_price p
WHERE p.request_type = $1 AND p.starts_at <= $2 AND p.withdrawn_at IS NULL AND NOT p.is_end AND NOT EXISTS (
    SELECT 1 FROM merchant_price later
    WHERE later.merchant_id = p.merchant_id AND later.request_type = p.request_type
        AND later.starts_at > p.starts_at AND later.starts_at <= $2 AND later.withdrawn_at IS NULL
);

-- price_of_number: read the version that a merchant's transfer of a type names
SELECT {merchant_price} FROM merchant_price WHERE merchant_id = $1 AND request_type = $2 AND price_id = $3
UNION ALL
SELECT {default_price} FROM default_price WHERE price_id = $3;

-- withdraw_default_price: withdraw a version of a default price that has not started by the clock, nor, if it starts so
-- soon that clocks may differ about it, by any book
UPDATE default_price SET withdrawn_at = $2
WHERE price_id = $1 AND starts_at > $2 AND withdrawn_at IS NULL
    AND (starts_at > $3 OR NOT EXISTS (SELECT 1 FROM account a WHERE a.last_at >= default_price.starts_at))
RETURNING price_id;

-- withdraw_merchant_price: withdraw a version of a merchant's own price that has not started by the clock or by its book
UPDATE merchant_price SET withdrawn_at = $4
WHERE merchant_id = $1 AND request_type = $2 AND price_id = $3 AND starts_at > $4 AND withdrawn_at IS NULL
    AND NOT EXISTS (SELECT 1 FROM account a WHERE a.merchant_id = $1 AND a.last_at >= merchant_price.starts_at)
RETURNING price_id;

-- period_counts: read what a merchant's requests of a type came to in periods that began within a stretch of time
SELECT {period_count} FROM period_count
WHERE merchant_id = $1 AND request_type = $2 AND starts_at BETWEEN $3 AND $4;

-- period_counts_of: list everything that the requests of merchants came to over periods
SELECT {period_count} FROM period_count WHERE merchant_id {in $1};

-- own_prices_of: list every version of merchants' own prices
SELECT {merchant_price} FROM merchant_price WHERE merchant_id {in $1};

-- default_price_at: read the default price of a type that is in force at a time
SELECT {default_price} FROM default_price
WHERE request_type = $1 AND starts_at <= $2 AND withdrawn_at IS NULL
ORDER BY starts_at DESC LIMIT 1;

-- merchant_price_at: read a merchant's own price of a type that is in force at a time
SELECT {merchant_price} FROM merchant_price
WHERE merchant_id = $1 AND request_type = $2 AND starts_at <= $3 AND withdrawn_at IS NULL
ORDER BY starts_at DESC LIMIT 1;
