-- A ledger that moves to another database, and what changes in it meanwhile. Applied before the new program is started.

-- There is a row while a copy of this ledger is made, or this database is one that is not whole yet, and once it has moved.
-- State 1: it is copied, and goes on; 2: a copy that is not whole; 3: one that is whole, and has only to be opened; 4: one
-- that is whole, and waits for the other ledger to be closed; 5: it has moved. All but the first don't serve. The place is the
-- other database's, without its password.
CREATE TABLE ledger_move (
    move_id INTEGER PRIMARY KEY CHECK (move_id = 1),
    copy_id TEXT NOT NULL,
    state INTEGER NOT NULL CHECK (state BETWEEN 1 AND 5),
    place TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    -- How far a copy has come: the table, the key of its last row as JSON, and the rows of all tables.
    table_name TEXT,
    row_key TEXT,
    rows_done INTEGER NOT NULL DEFAULT 0 CHECK (rows_done >= 0),
    -- The references between tables that a copy does without until all rows are there, as JSON.
    constraints TEXT
) STRICT;

-- The key of each row that changed since a copy began, as JSON, until the copy has the change. Triggers write it, which
-- are there as long as the copy is made.
CREATE TABLE ledger_change (
    number INTEGER PRIMARY KEY,
    table_name TEXT NOT NULL,
    row_key TEXT NOT NULL
) STRICT;
