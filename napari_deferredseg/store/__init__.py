"""Readers, cases, regions, assignments and corrections on disk; no other package knows SQL."""
