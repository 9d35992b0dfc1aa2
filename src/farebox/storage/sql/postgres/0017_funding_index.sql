-- SQLite writes a condition of the index transfer_funding in another way; here it costs nothing as it is.
SELECT 1;
