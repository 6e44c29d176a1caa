"""One format per file, one signature."""
