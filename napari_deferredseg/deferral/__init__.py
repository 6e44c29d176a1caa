"""Where an AI segmentation should not be trusted, and who would do better."""
