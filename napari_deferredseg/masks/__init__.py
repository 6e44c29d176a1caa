"""What is done with masks: smoothing, components, overlaps."""
