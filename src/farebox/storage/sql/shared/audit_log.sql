-- The audit log.

-- insert_audit_entry: write an entry of the audit log, once
INSERT INTO audit_log ({audit_entry.stored}) VALUES ({audit_entry.values}) ON CONFLICT DO NOTHING;

-- all_audit_entries: list the audit log, newest first
SELECT {audit_entry} FROM audit_log WHERE (at, entry_id) < ($1, $2) ORDER BY at DESC, entry_id DESC LIMIT $3;

-- merchant_audit_entries: list one merchant's part of the audit log, newest first
SELECT {audit_entry} FROM audit_log WHERE merchant_id = $1 AND (at, entry_id) < ($2, $3)
ORDER BY at DESC, entry_id DESC LIMIT $4;
