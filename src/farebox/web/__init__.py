"""HTTP: the API under /api/, its description, pages, and health."""
