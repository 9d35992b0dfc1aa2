-- Usage by component: the sums of the quantities that requests were priced by. Applied before the new program is started.

-- A sum is whole billions and a rest, as one of many large quantities could be beyond 64 bits.
CREATE TABLE usage_component (
    merchant_id BIGINT NOT NULL,
    quarter BIGINT NOT NULL,
    request_type TEXT NOT NULL,
    name TEXT NOT NULL,
    billions BIGINT NOT NULL,
    rest BIGINT NOT NULL,
    PRIMARY KEY (merchant_id, quarter, request_type, name)
);

-- What is rolled up already; nothing is read of a book where no price is a rule. Charges are of kind 3, captures of 6.
INSERT INTO usage_component (merchant_id, quarter, request_type, name, billions, rest)
SELECT merchant_id, committed_at / 900000000, request_type, named.key, sum(named.value / 1000000000),
    sum(named.value % 1000000000)
FROM transfer CROSS JOIN LATERAL (
    SELECT split_part(entry, '=', 1), CAST(split_part(entry, '=', 2) AS BIGINT)
    FROM unnest(string_to_array(split_part(pricing, ';', 1), ',')) entry
) named (key, value)
WHERE kind IN (3, 6) AND pricing IS NOT NULL
    AND (EXISTS (SELECT 1 FROM default_price WHERE rule IS NOT NULL)
        OR EXISTS (SELECT 1 FROM merchant_price WHERE rule IS NOT NULL))
    AND seq <= coalesce((SELECT m.seq FROM usage_mark m WHERE m.merchant_id = transfer.merchant_id), 0)
GROUP BY 1, 2, 3, 4;
