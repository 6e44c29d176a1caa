"""The docked widgets and their parts, one a file."""
