"""Rules of what watchers tell, beside what commands cause."""
