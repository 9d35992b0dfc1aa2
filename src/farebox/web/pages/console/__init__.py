"""The support console: what the operator's people see of all merchants, and what they do for them."""
