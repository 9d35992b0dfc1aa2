"""The HTTP door: the API under /api/, its description, and health."""
