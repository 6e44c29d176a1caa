"""A segmentor with a router as a folder, and what it says of a volume."""
