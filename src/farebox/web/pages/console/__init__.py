"""The support console: what the operator's staff see of all merchants, and what they do for them."""
