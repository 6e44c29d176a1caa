"""Who should answer, at every voxel."""
