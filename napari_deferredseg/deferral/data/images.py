"""Images as networks get them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_deferredseg.deferral.data.grids import model_geometry, resampled
from napari_deferredseg.deferral.data.intensity import normalised
from napari_deferredseg.io.images import read_channels, read_volume

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_deferredseg.core.scan import Scan
    from napari_deferredseg.core.volume import Array, Volume
    from napari_deferredseg.deferral.data.segmentor_settings import View


def prepared_image(volume: Volume, config: View) -> Array:
    """Image (c, z, y, x) float32 as networks get it: scaled, with the voxels that they learned on."""
    channels = volume.array if volume.array.ndim == 4 else volume.array[np.newaxis]
    shape = model_geometry(volume.geometry, config.spacing_mm).shape
    return resampled(normalised(channels, config.intensity, config.window), shape)


def read_image(files: Sequence[Path]) -> Volume:
    """Read an image of one file, or of one for each channel. InputError as `read_volume`."""
    return read_volume(files[0]) if len(files) == 1 else read_channels(files)


@dataclass(frozen=True)
class ViewedScan:
    """A scan in memory, as a router sees it."""

    given: Scan
    view: View

    def image(self) -> Array:
        """Image as networks get it."""
        return prepared_image(self.given.volume, self.view)

    def scan(self) -> Scan:
        """What was given."""
        return self.given
