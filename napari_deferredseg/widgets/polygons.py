"""Polygons that land in the slice on the screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels


def paint_polygons_where_shown(layer: Labels, viewer: ViewerModel) -> Labels:
    """Let the polygon tool of a labels layer paint the slice that its viewer shows.

    napari 0.9.2 rounds the place of a slice to show it, and cuts it off to paint a polygon there. In a volume whose
    origin is no round number slice 1 lies at 0.9999999; between two slices either may be meant.
    """
    paint = layer.paint_polygon

    def painted(points: Any, new_label: int) -> None:
        places = np.array(points, float)
        through = [axis - (viewer.dims.ndim - layer.ndim) for axis in viewer.dims.not_displayed]
        places[:, through] = np.round(places[:, through])
        paint(places, new_label)

    layer.paint_polygon = painted
    return layer
