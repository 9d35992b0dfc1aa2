-- Merchants can be closed, tagged, and noted about. Applied before the new program is started.

-- Since when a merchant is closed. Its book is empty then, and no key of it opens anything.
ALTER TABLE account ADD COLUMN closed_at INTEGER CHECK (closed_at IS NULL OR (wallet = 0 AND held = 0));
CREATE INDEX account_closed ON account (closed_at, merchant_id) WHERE closed_at IS NOT NULL;

-- Tags, sorted, each between commas; empty without any.
ALTER TABLE merchant ADD COLUMN tags TEXT NOT NULL DEFAULT '';

-- What staff noted about merchants, and who did.
CREATE TABLE merchant_note (
    merchant_id INTEGER NOT NULL,
    note_id INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    author TEXT NOT NULL CHECK (length(author) > 0),
    text TEXT NOT NULL CHECK (length(text) > 0),
    PRIMARY KEY (merchant_id, note_id)
) STRICT, WITHOUT ROWID;
