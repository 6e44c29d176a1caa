"""What a segmentor promises, whatever it is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.progress import silent

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import nn

    from napari_deferredseg.core.progress import Progress
    from napari_deferredseg.core.scan import Scan
    from napari_deferredseg.core.volume import Volume


class Segmentor(Protocol):
    """Logits of every class, for every voxel of a volume.

    Input
        The volume as it is stored, one channel or several, on its own grid. Scaling of intensities and resampling to
        the voxels it learned on are the segmentor's own. Boxes are on the volume's grid too; who needs none ignores
        them.
    Grid
        The logits lie on `model_geometry` of the volume's geometry and the `data.spacing_mm` of the model, which is
        the router's grid: the same box, the volume's own voxels where no spacing is set.
    Classes
        Background first, then the labels in the order of the model's table; the softmax over them is the segmentor's
        probability, before any scaling. Finite numbers, float32.
    Determinism
        The same volume gives the same logits on the same device, whatever ran before and however slices or windows
        are put into batches.
    Device
        Who runs the segmentor moves its `network`, and gives `segment` the device that it is on.
    Features
        None are asked for. For cross-fitting a segmentor that is trained here is trained anew for each fold, and the
        inner channels of two such networks mean different things: a router cannot learn from them.
    """

    @property
    def network(self) -> nn.Module:
        """Holds every weight."""
        ...

    def segment(self, scan: Scan, device: torch.device, progress: Progress = silent) -> NDArray[np.float32]:
        """Logits (C, z, y, x) of a volume.

        Raises
        ------
        InputError
            The volume has another number of channels than the segmentor learned from, or boxes are missing.
        """
        ...

    def try_out(self) -> None:
        """Run the network on an empty patch, before hours are spent on it. InputError when it cannot take one."""
        ...


def require_channels(volume: Volume, wanted: int) -> None:
    """Check that a volume has as many channels as a segmentor learned from.

    Raises
    ------
    InputError
        It has more or fewer.
    """
    count = len(volume.array) if volume.array.ndim == 4 else 1
    if count != wanted:
        raise InputError(
            f"{volume.source}: has {count} channels, the segmentor learned from {wanted}; give the same images that it "
            "learned from"
        )
