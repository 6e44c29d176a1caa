"""Smooth random fields on a grid in millimetres, quick at any correlation length."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_deferredseg.core.geometry import Shape, Vector

REACH = 4.0
SLAB = 16


def smooth_field(
    shape: Shape, spacing_zyx: Vector, correlation_mm: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Gaussian random field: mean 0 and variance 1 at every voxel.

    White noise on nodes half a correlation length apart, weighed by a Gaussian around each voxel. The weights' squares
    sum to one, so that quantiles of the field are those of the normal distribution.

    Parameters
    ----------
    shape : (nz, ny, nx)
        Voxels.
    spacing_zyx : (sz, sy, sx)
        Distance of voxel centres, mm.
    correlation_mm : float
        Distance over which the correlation falls to 1/e, mm.
    rng : numpy.random.Generator
        Draws the noise.

    Returns
    -------
    (z, y, x) float32

    Raises
    ------
    ValueError
        The correlation length is not positive.
    """
    if not correlation_mm > 0:
        raise ValueError(f"a correlation length of {correlation_mm} mm must be positive")
    z, y, x = (_weights(n, s, correlation_mm / 2) for n, s in zip(shape, spacing_zyx, strict=True))
    noise = rng.standard_normal((z.shape[1], y.shape[1], x.shape[1]))
    planes = np.matmul(y, noise @ x.T)
    field = np.empty(shape, np.float32)
    for start in range(0, len(z), SLAB):  # only the result is as large as the volume
        field[start : start + SLAB] = np.tensordot(z[start : start + SLAB], planes, axes=1)
    return field


def _weights(length: int, spacing: float, sigma: float) -> NDArray[np.float64]:
    """Weight (length, nodes) of every node for every voxel along one axis."""
    step = max(sigma, spacing)  # nodes closer than voxels would cost much and change nothing
    margin = REACH * sigma
    nodes = np.arange(-margin, (length - 1) * spacing + margin + step, step)
    at = np.arange(length)[:, None] * spacing
    away = (at - nodes) / sigma
    nearest = np.abs(away).min(axis=1, keepdims=True)
    weights: NDArray[np.float64] = np.exp(-0.5 * (away**2 - nearest**2))
    weights /= np.sqrt((weights**2).sum(axis=1, keepdims=True))
    return weights
