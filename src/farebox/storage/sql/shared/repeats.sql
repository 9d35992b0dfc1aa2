-- What requests made, by the idempotency key that their caller gave them.

-- claim_repeat: write what a request makes, unless its key was used; a use from $6 or before counts no more
INSERT INTO repeat AS r ({repeat.stored}) VALUES ({repeat.values})
ON CONFLICT (key_id, idempotency_key) DO UPDATE SET {repeat.excluded} WHERE r.created_at <= $6
RETURNING key_id;

-- find_repeat: read what a request made since $3
SELECT {repeat} FROM repeat WHERE key_id = $1 AND idempotency_key = $2 AND created_at > $3;

-- forget_repeats: remove what was made until $1
DELETE FROM repeat WHERE created_at <= $1;
