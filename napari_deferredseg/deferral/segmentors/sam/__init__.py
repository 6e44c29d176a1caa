"""Segment Anything and MedSAM, asked by boxes."""
