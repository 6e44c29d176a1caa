"""Judging a model on cases, and choosing its policy."""
