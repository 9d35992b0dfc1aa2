"""Sums that are kept beside the books: usage by quarters and hours, refusals by hours, and revenue by months."""
