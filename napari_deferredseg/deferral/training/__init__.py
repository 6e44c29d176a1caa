"""Fitting segmentors and routers, and whole training runs."""
