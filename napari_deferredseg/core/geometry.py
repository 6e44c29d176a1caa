"""Where the voxels of an array lie in the patient."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

Vector = tuple[float, float, float]
Matrix = tuple[Vector, Vector, Vector]
Shape = tuple[int, int, int]

IDENTITY: Matrix = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


class Geometry(BaseModel):
    """Grid of a volume: array (z, y, x), world in millimetres, LPS (the DICOM and SimpleITK convention).

    Parameters
    ----------
    shape : (nz, ny, nx)
        Array shape, in voxels.
    spacing : (sx, sy, sz)
        Distance of voxel centres along the array's x, y, z axes, mm.
    origin : (x, y, z)
        LPS position of the centre of voxel (0, 0, 0), mm.
    direction : 3x3
        Columns are the LPS unit vectors of the array's x, y, z axes.
    orientation_known : bool
        False for a file that does not say how its axes lie in the patient.
    """

    model_config = ConfigDict(frozen=True)

    shape: Shape
    spacing: Vector
    origin: Vector = (0.0, 0.0, 0.0)
    direction: Matrix = IDENTITY
    orientation_known: bool = Field(default=True)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if min(self.shape) < 1:
            raise ValueError(f"shape {self.shape} has an empty axis")
        if not all(np.isfinite(self.spacing)) or min(self.spacing) <= 0:
            raise ValueError(f"spacing {self.spacing} mm must be positive")
        if not all(np.isfinite(self.origin)):
            raise ValueError(f"origin {self.origin} must be finite")
        d = np.array(self.direction)
        if not np.allclose(d.T @ d, np.eye(3), atol=1e-3):
            raise ValueError(f"direction {d.tolist()} is not a rotation or reflection")
        return self

    @property
    def voxel_volume(self) -> float:
        """Volume of one voxel, mm3."""
        return float(np.prod(self.spacing))

    @property
    def spacing_zyx(self) -> Vector:
        """Spacing in array order (sz, sy, sx), mm."""
        return self.spacing[::-1]

    def affine(self) -> NDArray[np.float64]:
        """Matrix (4, 4) from a homogeneous array index (z, y, x, 1) to an LPS point (x, y, z, 1), mm."""
        a = np.eye(4)
        a[:3, :3] = (np.array(self.direction) * np.array(self.spacing))[:, ::-1]
        a[:3, 3] = self.origin
        return a

    def lps(self, index: ArrayLike) -> NDArray[np.float64]:
        """LPS points (..., 3) as (x, y, z) in mm of array indices (..., 3) as (z, y, x)."""
        a = self.affine()
        return np.asarray(index, float) @ a[:3, :3].T + a[:3, 3]

    def index(self, lps: ArrayLike) -> NDArray[np.float64]:
        """Array indices (..., 3) as (z, y, x), fractional, of LPS points (..., 3) in mm."""
        a = self.affine()
        return (np.asarray(lps, float) - a[:3, 3]) @ np.linalg.inv(a[:3, :3]).T

    def difference(self, other: Geometry, tolerance: float = 1e-3) -> str | None:
        """Say in a few words how another grid differs, or None when no corner is off by over `tolerance` mm."""
        if self.shape != other.shape:
            return f"its size (z, y, x) is {other.shape}, not {self.shape}"
        corners = np.stack(np.meshgrid(*[(0, n - 1) for n in self.shape], indexing="ij"), axis=-1)
        off = float(np.abs(self.lps(corners) - other.lps(corners)).max())
        if off > tolerance:
            return f"its corners lie up to {off:.3g} mm away"
        return None

    def same_grid(self, other: Geometry, tolerance: float = 1e-3) -> bool:
        """Whether both grids have one shape and every corner within `tolerance` mm."""
        return self.difference(other, tolerance) is None
