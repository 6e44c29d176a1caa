"""The tables, and the functions that read and write them inside the caller's transaction."""
