"""Volumes as napari layers, all in the patient's frame."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.colormaps import DirectLabelColormap

from napari_deferredseg.core.frame import Frame, frame_of
from napari_deferredseg.io.formats import stem_of
from napari_deferredseg.widgets.qt.plain import unmarked
from napari_deferredseg.widgets.viewer.window_level import FULL, contrast_limits, first_window

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Layer

    from napari_deferredseg.core.geometry import Geometry
    from napari_deferredseg.core.volume import LabelTable, Volume

UNIT = "mm"
KEY = "deferredseg"
DRAWING = "deferredseg_drawing"
"""In the metadata of a layer that somebody draws a region in; it goes again."""


@dataclass(frozen=True)
class LayerInfo:
    """Where a layer of ours comes from; it rides in the layer's metadata.

    Attributes
    ----------
    table : LabelTable or None
        Names of the labels, on a labels layer.
    modality : str
        DICOM code where known, else "".
    quantity : str
        What an image shows, where that is not the scanner's intensity.
    """

    geometry: Geometry
    frame: Frame
    source: str
    table: LabelTable | None = None
    modality: str = ""
    quantity: str = ""


def info_of(layer: Layer) -> LayerInfo | None:
    """What we know about a layer; None when it is not ours."""
    info = layer.metadata.get(KEY)
    return info if isinstance(info, LayerInfo) else None


def in_place(layer: Layer) -> bool:
    """Whether a layer of ours still stands where its frame puts it; the user may have dragged or turned it."""
    info = info_of(layer)
    return info is not None and stands_in(layer, info.frame)


def stands_in(layer: Layer, frame: Frame) -> bool:
    """Whether a layer stands where a frame puts it."""
    if layer.ndim != 3 or tuple(layer.data.shape) != frame.shape:
        return False
    corners = np.array([(0, 0, 0), *np.diag(frame.shape)])
    return bool(np.allclose([layer.data_to_world(c) for c in corners], frame.world(corners), rtol=0, atol=1e-3))


def layer_options(frame: Frame) -> dict[str, Any]:
    """Where a layer of ours stands: keyword arguments for every ``viewer.add_...``.

    All layers need the same units, or the scale bar loses its millimetres. napari's brushes are as wide in every
    direction as a layer's scale says, which an affine does not tell them.
    """
    return {
        "scale": frame.scale,
        "translate": frame.translate,
        "units": (UNIT,) * 3,
        "axis_labels": ("S", "P", "L"),
    }


def image_options(volume: Volume) -> list[tuple[np.ndarray, dict[str, Any]]]:
    """Data and keyword arguments of an image layer for each channel of a volume."""
    frame = frame_of(volume.geometry)
    info = LayerInfo(volume.geometry, frame, volume.source, modality=volume.modality)
    layers = []
    for number in range(len(volume.channels) or 1):
        array = volume.channel(number)
        options = {
            "name": layer_name(volume, number),
            "colormap": "gray",
            "contrast_limits": contrast_limits(array, first_window(array, volume.modality)),
            "metadata": {KEY: info},
            **layer_options(frame),
        }
        layers.append((frame.view(array), options))
    return layers


def add_volume(viewer: ViewerModel, volume: Volume) -> list[Image]:
    """Show a volume in the patient's frame, one gray layer a channel, windowed for its modality.

    The layers look at the volume's own array. Layers the user opened are left alone.
    """
    layers = [viewer.add_image(data, **options) for data, options in image_options(volume)]
    for layer in layers:
        low, high = contrast_limits(layer.data, FULL)
        shown = layer.contrast_limits
        layer.contrast_limits_range = (min(low, shown[0]), max(high, shown[1]))
    return layers


def label_colormap(table: LabelTable) -> DirectLabelColormap:
    """Colours of a table for a labels layer: background is clear, values that the table lacks are gray."""
    colors: dict[int | None, tuple[float, ...]] = {None: (0.7, 0.7, 0.7, 1.0), 0: (0.0, 0.0, 0.0, 0.0)}
    colors |= {x.value: (*(c / 255 for c in x.color), 1.0) for x in table.labels}
    return DirectLabelColormap(color_dict=colors)


def labels_options(geometry: Geometry, table: LabelTable, source: str, name: str) -> dict[str, Any]:
    """Keyword arguments of a labels layer on a grid; its data are `Frame.view` of the label map."""
    frame = frame_of(geometry)
    return {
        "name": name,
        "colormap": label_colormap(table),
        "metadata": {KEY: LayerInfo(geometry, frame, source, table=table)},
        **layer_options(frame),
    }


def layer_name(volume: Volume, number: int = 0) -> str:
    """Short name of a channel's layer, such as "CT abdomen" or "flair"."""
    if volume.channels:
        return unmarked(volume.channels[number])
    name = unmarked(stem_of(Path(volume.source)))
    known = volume.modality.casefold() in name.casefold()  # "" is in every name
    return name if known else f"{unmarked(volume.modality)} {name}"
