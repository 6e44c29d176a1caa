"""Polygons that land in the slice on the screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.components import ViewerModel
    from napari.layers import Labels

ELSEWHERE = "This polygon was begun in another slice: nothing was painted. Draw it anew."


def paint_polygons_where_shown(
    layer: Labels, viewer: ViewerModel, tell: Callable[[str], object] = lambda line: None
) -> Labels:
    """Let the polygon tool of a labels layer paint the slice that its viewer shows, and no other.

    napari 0.9.2 rounds the place of a slice to show it, and cuts it off to paint a polygon there. In a volume whose
    origin is no round number slice 1 lies at 0.9999999; between two slices either may be meant. A polygon that was
    begun in one slice and closed in another would land in the first, unseen: it is dropped, and `tell` gets a line.
    """
    paint = layer.paint_polygon

    def painted(points: Any, new_label: int) -> None:
        places = np.array(points, float)
        through = [axis - (viewer.dims.ndim - layer.ndim) for axis in viewer.dims.not_displayed]
        places[:, through] = np.round(places[:, through])
        shown = np.round(np.array(layer.world_to_data(viewer.dims.point))[through])
        if np.any(places[:, through] != shown):
            tell(ELSEWHERE)
            return
        paint(places, new_label)

    layer.paint_polygon = painted
    return layer
