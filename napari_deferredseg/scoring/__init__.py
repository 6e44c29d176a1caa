"""Judging a system of an AI and several readers at a budget: numpy in, tables out."""
