"""Geometry, volumes, predictions and records: numpy and pydantic, nothing else."""
