"""Read DICOM: pydicom for the tags, highdicom for frames, GDCM for compressed pixels.

Names and numbers of patients are never read.
"""

from napari_deferredseg.io.dicom.series import Series, list_series, read_file, read_series

__all__ = ["Series", "list_series", "read_file", "read_series"]
