"""What napari finds of us: contributions, files, the seat of each viewer, the demo."""
