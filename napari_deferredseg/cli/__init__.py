"""The same use cases from a command line."""
