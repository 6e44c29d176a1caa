"""From a worklist to submitted corrections."""
