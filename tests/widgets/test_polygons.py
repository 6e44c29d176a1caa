"""A polygon is painted on the slice on the screen, in every plane, wherever the volume lies."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_deferredseg.core.geometry import Geometry
from napari_deferredseg.core.volume import Volume
from napari_deferredseg.widgets.viewer.orientation import Plane, show_plane
from napari_deferredseg.widgets.viewer.polygons import paint_polygons_where_shown
from napari_deferredseg.widgets.viewer.volume_layers import add_volume, info_of, layer_options

ORIGIN, SPACING = (-171.2671, -33.4123, 94.3018), (3.0, 2.9999, 3.0)
CORNERS = ((-3, -3), (-3, 3), (3, 3), (3, -3))


@pytest.fixture
def anywhere(any_volume) -> Volume:
    """Every kind of acquisition, at an origin that is no round number."""
    geometry = any_volume.geometry.model_copy(update={"origin": ORIGIN, "spacing": SPACING})
    return replace(any_volume, geometry=Geometry.model_validate(geometry.model_dump()))


def test_a_polygon_changes_the_slice_on_the_screen_only(open_viewer, mouse, anywhere):
    viewer = open_viewer()
    (image,) = add_volume(viewer, anywhere)
    frame = info_of(image).frame
    empty = np.zeros(image.data.shape, np.uint8)
    layer = paint_polygons_where_shown(viewer.add_labels(empty, **layer_options(frame)), viewer)
    for plane in Plane:
        show_plane(viewer, plane)
        axis = viewer.dims.order[0]
        for shown in range(1, 20, 3):
            place = [n // 2 for n in image.data.shape]
            place[axis] = shown
            viewer.dims.point = tuple(frame.world(place))
            layer.data[:] = 0
            layer.mode = "polygon"
            draw_polygon(viewer, mouse, layer, place)
            painted = np.argwhere(layer.data)
            assert set(painted[:, axis]) == {shown}
            across = [painted[:, other] for other in viewer.dims.displayed]
            assert all(abs(x.mean() - n // 2) <= 1 for x, n in zip(across, shape_of(image, viewer), strict=True))


def test_between_two_slices_it_is_the_one_that_is_shown(open_viewer, mouse, make_volume):
    """A finer layer of one's own makes napari's slider stop between the slices of the volume."""
    viewer = open_viewer()
    (image,) = add_volume(viewer, make_volume("axial"))
    frame = info_of(image).frame
    empty = np.zeros(image.data.shape, np.uint8)
    layer = paint_polygons_where_shown(viewer.add_labels(empty, **layer_options(frame)), viewer)
    viewer.add_image(np.zeros((2, 2, 2)), scale=(0.5, 0.5, 0.5), translate=frame.world((3, 3, 3)), units=("mm",) * 3)
    viewer.layers.selection.active = layer
    show_plane(viewer, Plane.AXIAL)
    for part in (-0.4, 0.4):
        place = [10, *(n // 2 for n in image.data.shape[1:])]
        viewer.dims.point = tuple(frame.world([10 + part, *place[1:]]))
        layer.data[:] = 0
        layer.mode = "polygon"
        draw_polygon(viewer, mouse, layer, place)
        assert set(np.argwhere(layer.data)[:, 0]) == {10}


def shape_of(image, viewer) -> list[int]:
    return [image.data.shape[axis] for axis in viewer.dims.displayed]


def draw_polygon(viewer, mouse, layer, middle) -> None:
    places = []
    for steps in (*CORNERS, CORNERS[0]):
        place = list(middle)
        for axis, step in zip(viewer.dims.displayed, steps, strict=True):
            place[axis] += step
        places.append(tuple(place))
    for place in places[:-1]:
        mouse.click(viewer, layer, place)
    mouse.double_click(viewer, layer, places[-1])
