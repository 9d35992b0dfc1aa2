"""House rules that no other tool holds."""
