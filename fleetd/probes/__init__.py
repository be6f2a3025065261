"""How instances are, found out by asking them."""
