"""What lies between the ledger and those who use it: the API, the pages and the command line."""
