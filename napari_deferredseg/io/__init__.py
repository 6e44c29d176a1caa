"""Read and write images, label maps and DICOM series."""
