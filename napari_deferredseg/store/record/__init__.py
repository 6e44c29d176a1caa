"""The record of what was done: whether it is still what was written."""
