"""What the editing of labels relies on in napari."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Labels
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_deferredseg.core.boxes import bounding_box, slices
from napari_deferredseg.core.errors import InputError
from napari_deferredseg.widgets.viewer.orientation import Plane, show_plane
from napari_deferredseg.widgets.viewer.polygons import check_no_polygon, drop_polygon
from napari_deferredseg.widgets.viewer.tracked import TrackedArray, reset_undo
from napari_deferredseg.widgets.viewer.volume_layers import add_volume, info_of, layer_options

CONTROL = Qt.KeyboardModifier.ControlModifier
SHIFT = Qt.KeyboardModifier.ShiftModifier


@pytest.fixture
def scene(open_viewer, make_volume):
    viewer = open_viewer()
    volume = make_volume("sagittal")
    (image,) = add_volume(viewer, volume)
    frame = info_of(image).frame
    data = TrackedArray(frame.view(np.zeros(volume.geometry.shape, np.uint16)))
    layer = viewer.add_labels(data, **layer_options(frame))
    show_plane(viewer, Plane.AXIAL)
    layer.brush_size = 5
    return viewer, layer


def voxel(viewer, layer, vertical, horizontal):
    axis = viewer.dims.order[0]
    at = [vertical, horizontal]
    at.insert(axis, round(float(layer.world_to_data(viewer.dims.point)[axis])))
    return tuple(at)


def assert_tracked(layer, before):
    """The layer has changed, and every changed voxel lies in the box, which then is forgotten."""
    changed = bounding_box(np.asarray(layer.data) != before)
    assert changed is not None
    inside = np.zeros(layer.data.shape, bool)
    inside[slices(layer.data.take_changed())] = True
    assert inside[slices(changed)].all()
    assert layer.data.take_changed() is None


def test_every_edit_is_seen(scene, mouse):
    viewer, layer = scene
    assert type(layer.data) is TrackedArray

    def edit(mode, act):
        layer.mode = mode
        before = np.array(layer.data)
        act()
        assert_tracked(layer, before)

    def at(*place):
        return voxel(viewer, layer, *place)

    def polygon():
        for corner in (at(8, 8), at(8, 16), at(16, 16)):
            mouse.click(viewer, layer, corner)
        mouse.double_click(viewer, layer, at(8, 8))

    edit("paint", lambda: mouse.stroke(viewer, layer, [at(5, 5), at(5, 9)]))
    edit("erase", lambda: mouse.stroke(viewer, layer, [at(5, 5), at(5, 7)]))
    layer.selected_label = 2
    edit("fill", lambda: mouse.click(viewer, layer, at(5, 9)))
    layer.selected_label = 3
    edit("polygon", polygon)
    for _ in range(4):
        edit("pan_zoom", layer.undo)
    for _ in range(4):
        edit("pan_zoom", layer.redo)
    edit("pan_zoom", lambda: layer.data_setitem((np.array([1, 2]), np.array([3, 3]), np.array([4, 5])), 7))
    edit("pan_zoom", layer.undo)
    layer.n_edit_dimensions = 3
    edit("paint", lambda: mouse.click(viewer, layer, at(12, 5)))
    layer.contour = 2
    layer.preserve_labels = True
    edit("paint", lambda: mouse.stroke(viewer, layer, [at(18, 5), at(18, 9)]))
    layer.preserve_labels = False
    layer.selected_label = 4
    edit("fill", lambda: mouse.click(viewer, layer, at(18, 9)))


def test_after_a_reset_nothing_comes_back_with_control_z(scene, mouse):
    viewer, layer = scene
    native = mouse.native(viewer)
    layer.mode = "paint"
    mouse.stroke(viewer, layer, [voxel(viewer, layer, 5, 5)])
    mouse.stroke(viewer, layer, [voxel(viewer, layer, 9, 5)])
    both = np.array(layer.data)
    QTest.keyClick(native, Qt.Key.Key_Z, CONTROL)
    one = np.array(layer.data)
    assert 0 < np.count_nonzero(one) < np.count_nonzero(both)
    reset_undo(layer)
    assert layer.mode == "paint"
    assert viewer.layers.selection.active is layer
    QTest.keyClick(native, Qt.Key.Key_Z, CONTROL)
    QTest.keyClick(native, Qt.Key.Key_Z, CONTROL | SHIFT)
    np.testing.assert_array_equal(layer.data, one)
    mouse.stroke(viewer, layer, [voxel(viewer, layer, 12, 5)])
    QTest.keyClick(native, Qt.Key.Key_Z, CONTROL)
    np.testing.assert_array_equal(layer.data, one)


def test_corners_of_a_polygon_are_found_and_forgotten(scene, mouse):
    """They have no public way in napari, and outlive another mode of the layer."""
    viewer, layer = scene
    layer.mode = "polygon"
    check_no_polygon(layer)
    before = np.array(layer.data)

    def corners():
        for corner in ((8, 8), (8, 16), (16, 16)):
            mouse.click(viewer, layer, voxel(viewer, layer, *corner))

    for forget in (drop_polygon, lambda _: QTest.keyClick(mouse.native(viewer), Qt.Key.Key_Escape)):
        mouse.click(viewer, layer, voxel(viewer, layer, 8, 8))
        with pytest.raises(InputError, match="not closed"):
            check_no_polygon(layer)
        corners()
        layer.mode = "paint"
        with pytest.raises(InputError, match="not closed"):
            check_no_polygon(layer)
        forget(layer)
        check_no_polygon(layer)
        layer.mode = "polygon"
        QTest.keyClick(mouse.native(viewer), Qt.Key.Key_Return)
        np.testing.assert_array_equal(layer.data, before)
    corners()
    mouse.double_click(viewer, layer, voxel(viewer, layer, 16, 16))
    check_no_polygon(layer)
    assert (np.array(layer.data) != before).any()


def test_a_brush_is_the_circle_around_the_cursor_in_every_plane(scene, mouse):
    """It is as wide as the layer's `scale` says; an affine would make it an ellipse that the circle hides."""
    viewer, layer = scene
    layer.mode, layer.brush_size = "paint", 9
    scale = np.abs(layer.scale)
    for plane in Plane:
        show_plane(viewer, plane)
        layer.brush_size = 9  # napari measures the circle anew when it is set, and not for another plane
        layer.data[:] = 0
        center = [n // 2 for n in layer.data.shape]
        mouse.click(viewer, layer, voxel(viewer, layer, *(center[axis] for axis in viewer.dims.displayed)))
        shown = list(viewer.dims.displayed)
        painted = np.argwhere(layer.data)
        center[viewer.dims.order[0]] = painted[0, viewer.dims.order[0]]
        steps = (np.indices(layer.data.shape).T - center).T
        away = np.sqrt(sum((steps[axis] * scale[axis]) ** 2 for axis in shown))
        expected = (away <= 4.5 * min(scale[shown])) & (steps[viewer.dims.order[0]] == 0)
        np.testing.assert_array_equal(np.asarray(layer.data) > 0, expected)
        assert layer.cursor_size == 9 * min(scale[shown])


def test_polygons_are_cut_off_to_a_slice():
    """Once napari rounds instead, `widgets/polygons.py` can go."""
    layer = Labels(np.zeros((3, 12, 12), np.uint8))
    layer.paint_polygon([(1 - 1e-9, a, b) for a, b in ((2.5, 2.5), (2.5, 8.5), (8.5, 8.5), (8.5, 2.5))], 1)
    assert layer.data[0].any()
    assert not layer.data[1].any()
