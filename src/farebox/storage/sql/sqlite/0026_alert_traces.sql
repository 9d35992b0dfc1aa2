-- The trace of the request that caused an alert, which webhooks are told. Applied before the new program is started.

-- As W3C's header tells it. Most requests are not traced, and what they cause has none.
ALTER TABLE alert ADD COLUMN traceparent TEXT CHECK (length(traceparent) > 0);
