"""Trained nnU-Nets."""
