"""What is on napari's canvas: layers in the patient's frame, mouse, tools, letters and lines. No session here."""
