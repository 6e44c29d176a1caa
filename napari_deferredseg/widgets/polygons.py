"""Polygons that land in the slice on the screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari.layers import Labels

EDGE = 1e-3
"""Voxels. What napari computes of a slice's place is off by less, and a corner drawn by hand by much more."""


def paint_polygons_where_shown(layer: Labels) -> Labels:
    """Let the polygon tool of a labels layer paint the slice that is shown.

    napari 0.9.2 cuts the place of the slice off where it should round it. In a volume whose origin is no round number,
    slice 1 lies at 0.9999999, and a polygon that was drawn on it is painted on slice 0.
    """
    paint = layer.paint_polygon

    def painted(points: Any, new_label: int) -> None:
        paint(np.asarray(points, float) + EDGE, new_label)

    layer.paint_polygon = painted
    return layer
