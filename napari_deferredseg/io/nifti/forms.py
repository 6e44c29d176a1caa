"""The two forms of a NIfTI header, to be carried from a scan to its mask: other programs choose between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Header
    from numpy.typing import NDArray

FIELDS = (
    *("qform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
    *("sform_code", "srow_x", "srow_y", "srow_z"),
)


@dataclass(frozen=True)
class Forms:
    """What a header says of the place of its first three axes.

    Attributes
    ----------
    pixdim : (4,) float64
        Side of the third axis, and the spacing in mm.
    fields : dict
        The codes, the quaternion with its offset, and the rows of the matrix.
    """

    pixdim: NDArray[np.float64]
    fields: dict[str, NDArray[np.float64]]

    @classmethod
    def of(cls, header: Nifti1Header) -> Forms:
        """Copy the forms of a header."""
        return cls(
            np.array(header["pixdim"][:4], np.float64),
            {name: np.array(header[name], np.float64) for name in FIELDS},
        )

    def put_into(self, header: Nifti1Header) -> None:
        """Set the forms of another header."""
        header["pixdim"][:4] = self.pixdim
        for name, value in self.fields.items():
            header[name] = value
