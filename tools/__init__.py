"""Programs that keep the repository, and no part of what is shipped."""
