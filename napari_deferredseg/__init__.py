"""Find where an AI segmentation should not be trusted, route it to named experts, keep what they correct."""

__version__ = "0.1.0"
