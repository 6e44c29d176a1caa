"""Whether a project is as it was written, and proof of that which lies elsewhere."""
