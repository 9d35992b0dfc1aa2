-- Usage by component: the sums of the quantities that requests were priced by. Applied before the new program is started.

-- A sum is whole billions and a rest, as one of many large quantities could be beyond 64 bits.
CREATE TABLE usage_component (
    merchant_id INTEGER NOT NULL,
    quarter INTEGER NOT NULL,
    request_type TEXT NOT NULL,
    name TEXT NOT NULL,
    billions INTEGER NOT NULL,
    rest INTEGER NOT NULL,
    PRIMARY KEY (merchant_id, quarter, request_type, name)
) STRICT, WITHOUT ROWID;

-- What is rolled up already; nothing is read of a book where no price is a rule. Charges are of kind 3, captures of 6.
INSERT INTO usage_component (merchant_id, quarter, request_type, name, billions, rest)
SELECT merchant_id, committed_at / 900000000, request_type, named.key, sum(named.value / 1000000000),
    sum(named.value % 1000000000)
FROM transfer CROSS JOIN json_each(
    CASE WHEN pricing = '' OR pricing LIKE ';%' THEN '{}' ELSE
        '{"' || replace(replace(substr(pricing, 1, instr(pricing || ';', ';') - 1), '=', '":'), ',', ',"') || '}'
    END
) named
WHERE kind IN (3, 6) AND pricing IS NOT NULL
    AND (EXISTS (SELECT 1 FROM default_price WHERE rule IS NOT NULL)
        OR EXISTS (SELECT 1 FROM merchant_price WHERE rule IS NOT NULL))
    AND seq <= coalesce((SELECT m.seq FROM usage_mark m WHERE m.merchant_id = transfer.merchant_id), 0)
GROUP BY 1, 2, 3, 4;
