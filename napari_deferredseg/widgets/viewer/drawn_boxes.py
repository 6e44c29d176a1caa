"""Boxes that somebody drew on a volume, in a layer of shapes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.scan import SliceBox
from napari_deferredseg.widgets.viewer.volume_layers import layer_options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari.components import ViewerModel
    from napari.layers import Shapes

    from napari_deferredseg.usecases.running.models import InstalledModel
    from napari_deferredseg.widgets.viewer.volume_layers import LayerInfo

LABEL, NAME = "label", "Boxes"
COLOR = "#f0e442"
FLAT = 0.6
"""Voxels by which a box may leave its slice."""


def add_boxes(viewer: ViewerModel, on: LayerInfo, label: str) -> Shapes:
    """Add a layer to draw boxes on a volume, in its voxels: napari shows a shape in slices of its own grid only.

    New boxes are about `label`; the name of each is written beside it.
    """
    layer = viewer.add_shapes(
        ndim=3,
        name=NAME,
        edge_color=COLOR,
        edge_width=0.5,
        face_color="transparent",
        features={LABEL: np.empty(0, object)},
        text={"string": f"{{{LABEL}}}", "color": COLOR, "anchor": "upper_left", "size": 10},
        **layer_options(on.frame),
    )
    layer.feature_defaults = {LABEL: label}
    layer.mode = "add_rectangle"
    return layer


def drawn_boxes(layer: Shapes, on: LayerInfo, model: InstalledModel) -> tuple[SliceBox, ...]:
    """Bounding boxes of the shapes of a layer, on the grid of the volume that they were drawn on.

    What each is about stands in the layer's feature `label`, a name or a value; a model of one label needs none.

    Raises
    ------
    InputError
        There are none, one is not in a slice of the volume, or it is not said what one is about.
    """
    boxes = tuple(_boxes(layer, on, model))
    if not boxes:
        raise InputError(f"the layer {layer.name} holds no boxes: draw a rectangle around each structure")
    return boxes


def _boxes(layer: Shapes, on: LayerInfo, model: InstalledModel) -> Iterator[SliceBox]:
    shape = on.geometry.shape
    for number, corners in enumerate(layer.data):
        if corners.shape[1] != 3:
            raise InputError(f"the layer {layer.name} is flat: make a new one while the volume is shown")
        world = np.array([layer.data_to_world(corner) for corner in corners])
        index = on.frame.to_file(on.frame.index(world))
        low, high = index.min(axis=0), index.max(axis=0)
        if high[0] - low[0] > FLAT:
            raise InputError(
                f"box {number + 1} of {layer.name} goes through several slices of the file: draw it in the plane in "
                "which the volume was acquired"
            )
        z = round(float(low[0] + high[0]) / 2)
        rows, columns = (_span(low[axis], high[axis], shape[axis]) for axis in (1, 2))
        if not 0 <= z < shape[0] or rows[0] >= rows[1] or columns[0] >= columns[1]:
            raise InputError(f"box {number + 1} of {layer.name} lies outside the volume: delete it")
        yield SliceBox(_label(layer, number, model), z, rows, columns)


def _span(low: float, high: float, size: int) -> tuple[int, int]:
    """Voxels that two edges lie in, and those between; a voxel's middle is a whole number."""
    return max(round(float(low)), 0), min(round(float(high)) + 1, size)


def _label(layer: Shapes, number: int, model: InstalledModel) -> int:
    if LABEL in layer.features:
        said = str(layer.features[LABEL].iloc[number]).strip().casefold()
        for name, value in zip(model.labels, model.values, strict=True):
            if said in (name.casefold(), str(value)):
                return value
    elif len(model.values) == 1:
        return model.values[0]
    raise InputError(
        f"box {number + 1} of {layer.name} does not say what it is about: write one of {', '.join(model.labels)} in a "
        f"column {LABEL!r} of the layer's features"
    )
