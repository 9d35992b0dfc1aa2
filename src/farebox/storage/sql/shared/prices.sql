-- Prices: versions of the defaults and of merchants' own.

-- insert_default_price: add a version of a default price
INSERT INTO default_price ({default_price.stored}, created_at) VALUES ({default_price.values}, $5);

-- insert_merchant_price: add a version of a merchant's own price
INSERT INTO merchant_price ({merchant_price.stored}, created_at) VALUES ({merchant_price.values}, $6);

-- default_prices: list every version of the default prices
SELECT {default_price} FROM default_price ORDER BY request_type, starts_at, price_id;

-- merchant_prices: list every version of a merchant's own prices
SELECT {merchant_price} FROM merchant_price WHERE merchant_id = $1 ORDER BY request_type, starts_at, price_id;
