-- The trace of the request that caused an alert, on a ledger that is spread: Citus takes no column together with a condition.
ALTER TABLE alert ADD COLUMN traceparent TEXT;
ALTER TABLE alert ADD CONSTRAINT alert_traceparent_check CHECK (length(traceparent) > 0);
