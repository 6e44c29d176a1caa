"""Networks by name, their weights, and how they go over a whole volume."""
