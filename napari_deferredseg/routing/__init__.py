"""From a deferral map to regions, and from regions to readers."""
