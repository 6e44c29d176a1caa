"""Polygons that land in the slice on the screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deferredseg.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.components import ViewerModel
    from napari.layers import Labels

OPEN = "a polygon is not closed: double-click to close it, or press Escape"
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


def drop_polygon(layer: Labels) -> None:
    """Forget the corners of a polygon that was begun on a layer and not closed, as the key Escape does."""
    _overlay(layer).points = []


def check_no_polygon(layer: Labels) -> None:
    """InputError while a polygon is begun and not closed: it looks painted, and is not."""
    if _overlay(layer).points:
        raise InputError(OPEN)


def _overlay(layer: Labels) -> Any:
    """Where napari 0.9.2 keeps the corners; it has no public way to them. tests/ground sees that it still does.

    What a viewer hands to a plugin stands before the layer itself, and shows its public side only.
    """
    return getattr(layer, "__wrapped__", layer)._overlays["polygon"]
