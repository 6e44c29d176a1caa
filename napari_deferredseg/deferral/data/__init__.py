"""What networks are given: settings, cases made ready, voxels and grey values as they see them."""
