"""A MONAI bundle: its network by name, its weights as tensors, its own transforms from a list of known ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from monai import transforms as known_transforms
from monai.data import MetaTensor
from monai.inferers import sliding_window_inference
from monai.transforms import Compose, SpatialResample
from pydantic import ValidationError

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.progress import silent
from napari_deferredseg.deferral.data.grids import model_geometry
from napari_deferredseg.deferral.data.intensity import finite
from napari_deferredseg.deferral.data.segmentor_settings import BundleConfig
from napari_deferredseg.deferral.networks import sliding
from napari_deferredseg.deferral.networks.builders import first_line, named_network
from napari_deferredseg.deferral.networks.outputs import class_logits, try_window
from napari_deferredseg.deferral.networks.weights import fill, read_state
from napari_deferredseg.deferral.segmentors.base import require_channels
from napari_deferredseg.deferral.segmentors.bundle.files import (
    METADATA,
    WEIGHTS,
    BundleFiles,
    channels_of,
    labels_of,
)
from napari_deferredseg.deferral.segmentors.bundle.text import USED
from napari_deferredseg.deferral.segmentors.module import classes_of, in_table_order

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from napari_deferredseg.core.geometry import Geometry, Vector
    from napari_deferredseg.core.progress import Progress
    from napari_deferredseg.core.scan import Scan
    from napari_deferredseg.core.volume import LabelTable
    from napari_deferredseg.deferral.segmentors.bundle.text import InferenceText

OVERLAP = 0.25
"""Of windows, where neither the settings nor the bundle say it: MONAI's own default."""
IMAGE, NAME = "image", "the bundle's network"
RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class BundleSegmentor:
    """A bundle as a `Segmentor`. `classes` are the numbers of its channels in the order of the model's table."""

    network: nn.Module
    config: BundleConfig
    classes: tuple[int, ...]
    spacing_mm: Vector | None

    def segment(self, scan: Scan, device: torch.device, progress: Progress = silent) -> NDArray[np.float32]:
        """Logits (C, z, y, x) on the model's grid; between, they are where the bundle's transforms put the image."""
        volume, config = scan.volume, self.config
        assert config.channels is not None
        assert config.patch is not None  # `segmentor_over` has seen to it
        require_channels(volume, config.channels)
        progress(0.0, "preparing the image")
        array = volume.array if volume.array.ndim == 4 else volume.array[np.newaxis]
        plain = torch.from_numpy(np.ascontiguousarray(finite(array).transpose(0, 3, 2, 1)))
        placed = MetaTensor(plain, affine=ras_affine(volume.geometry))
        image = _steps(config)({IMAGE: placed})[IMAGE]
        progress(0.1, "running the network")
        with torch.inference_mode():
            found = sliding_window_inference(
                image.as_tensor().float()[None].to(device),
                config.patch,
                sliding.WINDOWS,
                self._logits,
                OVERLAP if config.overlap is None else config.overlap,
                "gaussian",
            )
        progress(0.9, "bringing it to the grid of the volume")
        grid = model_geometry(volume.geometry, self.spacing_mm)
        to_grid = SpatialResample(mode="bilinear", padding_mode="border", dtype=np.float32)
        logits = to_grid(
            MetaTensor(torch.as_tensor(found)[0].cpu(), affine=image.affine),
            dst_affine=ras_affine(grid),
            spatial_size=grid.shape[::-1],
        )
        return in_table_order(np.ascontiguousarray(logits.numpy().transpose(0, 3, 2, 1)), self.classes)

    def try_out(self) -> None:
        """Run the network on an empty patch. InputError when it cannot take one."""
        try_window(self._logits, self.network, self.config.channels or 1, self.config.patch or (), NAME)

    def _logits(self, image: Tensor) -> Tensor:
        config = self.config
        return class_logits(self.network(image), image, len(config.labels or ()), config.output or "logits", NAME)


def ras_affine(geometry: Geometry) -> Tensor:
    """Matrix (4, 4) from an index (x, y, z, 1) to an RAS point, mm: what MONAI calls an affine."""
    turned = geometry.affine()[:, [2, 1, 0, 3]]
    return torch.from_numpy(RAS @ turned)


def completed(config: BundleConfig) -> BundleConfig:
    """Settings with what the bundle says where they leave something open.

    Raises
    ------
    InputError
        There is no such bundle, it holds code, or it does not say enough.
    """
    if config.bundle is None:
        raise InputError("segmentor.bundle is missing: name the folder or zip of the bundle")
    try:
        return _completed(config, config.bundle)
    except InputError:
        raise
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(x) for x in first["loc"]) or "it"
        raise InputError(f"{config.bundle}: {where}: {first['msg']}; write it in [segmentor]") from None
    except (AttributeError, TypeError, ValueError, KeyError, RecursionError) as error:
        raise InputError(
            f"{config.bundle}: is not written as MONAI writes a bundle ({first_line(error)}); copy it again"
        ) from error


def _completed(config: BundleConfig, bundle: Path) -> BundleConfig:
    files = BundleFiles(bundle)
    if config.labels is None or config.channels is None:
        metadata = files.document(METADATA)
        said = {"labels": config.labels or labels_of(bundle, metadata)}
        config = config.model_copy(update=said | {"channels": config.channels or channels_of(bundle, metadata)})
    needed = [config.network, config.transforms, config.patch]
    if None in [*needed, config.overlap, config.output] and (None in needed or files.has_inference()):
        config = _inferred(config, files.inference())
    defaults = {"overlap": OVERLAP if config.overlap is None else config.overlap, "output": config.output or "logits"}
    found = BundleConfig.model_validate(config.model_dump(warnings=False) | defaults)
    _steps(found)
    return found


def _inferred(config: BundleConfig, text: InferenceText) -> BundleConfig:
    """Settings with what a bundle's configuration for inference says of those that are left open; only that is read."""
    assert config.labels is not None
    return config.model_copy(
        update={
            "network": config.network or text.network(),
            "transforms": text.transforms() if config.transforms is None else config.transforms,
            "patch": config.patch or text.patch(),
            "overlap": text.overlap() if config.overlap is None else config.overlap,
            "output": config.output or text.output(len(config.labels)),
        }
    )


def _steps(config: BundleConfig) -> Compose:
    """Known transforms by name. InputError for one that is not known or does not take its arguments."""
    steps = []
    for step in config.transforms or ():
        name = str(step.get("name"))
        if name not in USED:
            known = ", ".join(sorted(USED))
            raise InputError(f"segmentor.transforms: {name} is not known; write transforms with some of {known}")
        given = {k: v for k, v in step.items() if k != "name"}
        try:
            steps.append(getattr(known_transforms, name)(keys=[IMAGE], **given))
        except Exception as error:
            raise InputError(f"segmentor.transforms: {name}: {first_line(error)}") from error
    return Compose(steps)


def make_network(config: BundleConfig) -> nn.Module:
    """Network of MONAI by its name, without weights. InputError as `named_network`."""
    if config.network is None:
        raise InputError("segmentor.network is missing: the model folder is damaged, copy it again")
    try:
        return named_network(config.network.name, config.network.arguments).eval().requires_grad_(False)
    except InputError as error:
        raise InputError(f"{error}; write segmentor.network as this version of MONAI takes it") from None


def load_weights(network: nn.Module, config: BundleConfig) -> None:
    """Load the bundle's state dict. InputError as `read_state` and `fill`."""
    assert config.bundle is not None
    where = config.bundle / WEIGHTS
    with BundleFiles(config.bundle).opened(WEIGHTS) as file:
        fill(network, read_state(where, file), where)


def segmentor_over(
    network: nn.Module, config: BundleConfig, table: LabelTable, spacing_mm: Vector | None
) -> BundleSegmentor:
    """Segmentor of a network. InputError as `classes_of`, or where settings are not complete."""
    if None in (config.channels, config.patch, config.transforms):
        raise InputError("the bundle's settings are not complete: the model folder is damaged, copy it again")
    return BundleSegmentor(network, config, classes_of(config.labels or (), table), spacing_mm)
