-- API keys: merchants' stand with their merchant, a service's or support's on their own.

-- insert_merchant_key: add a merchant's API key
INSERT INTO merchant_key ({merchant_key.stored}) VALUES ({merchant_key.values});

-- insert_imported_key: say whose an API key is that another system gave out
INSERT INTO imported_key (number, digest, merchant_id) VALUES ($1, $2, $3);

-- imported_keys: tell whose API keys of these numbers are
SELECT digest, merchant_id FROM imported_key WHERE number {in $1};

-- insert_staff_key: add a service's or support's API key
INSERT INTO staff_key ({staff_key.stored}) VALUES ({staff_key.values});

-- find_merchant_key: look a merchant's API key up by its digest; those of a closed merchant are not found
SELECT key_id, {KeyKind.MERCHANT}, merchant_id, expires_at, revoked_at, 0, budget_id, suspended_at
FROM merchant_key WHERE merchant_id = $1 AND digest = $2
    AND NOT EXISTS (SELECT 1 FROM account WHERE merchant_id = $1 AND closed_at IS NOT NULL);

-- find_staff_key: look a service's or support's API key up by its digest
SELECT key_id, kind, NULL, expires_at, revoked_at, roles, NULL, NULL, name, people FROM staff_key WHERE digest = $1;

-- merchant_keys: list a merchant's API keys
-- The sum keeps PostgreSQL from walking an index of all merchants' keys because that has the order already.
SELECT {merchant_key} FROM merchant_key WHERE merchant_id = $1 ORDER BY key_id + 0;

-- staff_keys: list the services' and support's API keys
SELECT {staff_key} FROM staff_key ORDER BY key_id;

-- api_key: find an API key of any kind by its id
SELECT {merchant_key} FROM merchant_key WHERE key_id = $1
UNION ALL
SELECT {staff_key} FROM staff_key WHERE key_id = $1;

-- revoke_merchant_key: close a merchant's API key that was not closed earlier
UPDATE merchant_key SET revoked_at = $2 WHERE key_id = $1 AND (revoked_at IS NULL OR revoked_at > $2) RETURNING key_id;

-- revoke_staff_key: close a service's or support's API key that was not closed earlier
UPDATE staff_key SET revoked_at = $2 WHERE key_id = $1 AND (revoked_at IS NULL OR revoked_at > $2) RETURNING key_id;

-- expire_merchant_key: let a merchant's API key that has not ended end at another time
UPDATE merchant_key SET expires_at = $2
WHERE key_id = $1 AND (expires_at IS NULL OR expires_at > $3) AND (revoked_at IS NULL OR revoked_at > $3)
RETURNING key_id;

-- expire_staff_key: let a service's or support's API key that has not ended end at another time
UPDATE staff_key SET expires_at = $2
WHERE key_id = $1 AND (expires_at IS NULL OR expires_at > $3) AND (revoked_at IS NULL OR revoked_at > $3)
RETURNING key_id;

-- succeed_merchant_key: let a merchant's API key that has not ended end at a time, or earlier if it already was to
UPDATE merchant_key SET expires_at = CASE WHEN expires_at < $2 THEN expires_at ELSE $2 END
WHERE key_id = $1 AND (expires_at IS NULL OR expires_at > $3) AND (revoked_at IS NULL OR revoked_at > $3)
RETURNING key_id;

-- succeed_staff_key: let a service's or support's API key that has not ended end at a time, or earlier if it was to
UPDATE staff_key SET expires_at = CASE WHEN expires_at < $2 THEN expires_at ELSE $2 END
WHERE key_id = $1 AND (expires_at IS NULL OR expires_at > $3) AND (revoked_at IS NULL OR revoked_at > $3)
RETURNING key_id;

-- suspend_merchant_key: let a merchant's API key that has not ended open nothing until it is resumed
UPDATE merchant_key SET suspended_at = $2
WHERE key_id = $1 AND suspended_at IS NULL AND (expires_at IS NULL OR expires_at > $2)
    AND (revoked_at IS NULL OR revoked_at > $2)
RETURNING key_id;

-- resume_merchant_key: let a merchant's API key that was suspended open what it did before
UPDATE merchant_key SET suspended_at = NULL WHERE key_id = $1 AND suspended_at IS NOT NULL RETURNING key_id;

-- rename_merchant_key: say what a merchant uses an API key for
UPDATE merchant_key SET name = $2 WHERE key_id = $1 RETURNING key_id;

-- rename_staff_key: say which service or support person a key belongs to
UPDATE staff_key SET name = $2 WHERE key_id = $1 RETURNING key_id;

-- note_merchant_key: write when a merchant's key was last used
UPDATE merchant_key SET used_at = $3 WHERE merchant_id = $1 AND digest = $2 AND (used_at IS NULL OR used_at < $3);

-- note_staff_key: write when a service's or support's key was last used
UPDATE staff_key SET used_at = $2 WHERE digest = $1 AND (used_at IS NULL OR used_at < $2);

-- set_staff_key_people: say whose a service's or support's key is
UPDATE staff_key SET people = $2 WHERE key_id = $1 RETURNING key_id;
