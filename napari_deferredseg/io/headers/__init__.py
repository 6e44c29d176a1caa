"""What a file's header says and ITK does not pass on or check, before any voxel is unpacked."""
