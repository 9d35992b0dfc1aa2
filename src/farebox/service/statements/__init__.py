"""A book as people read it: pages, filters, CSV, exports that can be verified, and the check of such an export."""
