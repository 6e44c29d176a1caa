"""Small DICOM files, written with pydicom."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def write_slice(path: Path, position, series="1.2.3", rows=None, **tags) -> pydicom.Dataset:
    """A small CT slice whose voxels hold its own number."""
    ds = pydicom.Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = CTImageStorage
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = generate_uid()
    ds.PatientName, ds.PatientID = "Doe^Jane", "4711"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2", series
    ds.SeriesNumber, ds.SeriesDescription, ds.Modality = 3, "thin", "CT"
    ds.Rows, ds.Columns = 4, 5
    ds.ImagePositionPatient = [float(v) for v in position]
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    ds.PixelSpacing, ds.SliceThickness = [0.7, 0.8], 2.0
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.RescaleSlope, ds.RescaleIntercept = 2, -1024
    ds.PixelData = np.full((4, 5), round(position[2]) + 500, np.uint16).tobytes()
    for key, value in tags.items():
        setattr(ds, key, value)
    ds.save_as(path, enforce_file_format=True)
    return ds


@pytest.fixture(name="write_slice")
def slice_writer() -> Callable[..., pydicom.Dataset]:
    """Writer of a slice of 4 x 5 voxels, all slope 2, intercept -1024, number 500 + z."""
    return write_slice


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    folder = tmp_path / "stack"
    folder.mkdir()
    for i in range(5):
        write_slice(folder / f"I{(i * 3) % 5}", (-10, -20, 2 * i))  # names in another order than positions
    return folder
