from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Labels
from qtpy.QtCore import Qt

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.frame import frame_of
from napari_deferredseg.core.geometry import Geometry
from napari_deferredseg.core.volume import Volume, table_from_names
from napari_deferredseg.widgets.viewer.cursor_line import under_cursor
from napari_deferredseg.widgets.viewer.hands import SURROUNDINGS, Hands, jump
from napari_deferredseg.widgets.viewer.orientation import OrientationLetters, Plane, show_3d, show_plane
from napari_deferredseg.widgets.viewer.tracked import TrackedArray
from napari_deferredseg.widgets.viewer.volume_layers import add_volume, info_of, labels_options
from napari_deferredseg.widgets.viewer.window_level import PRESETS, WINDOWS, apply_window

RIGHT = Qt.MouseButton.RightButton
CONTROL = Qt.KeyboardModifier.ControlModifier
LETTERS = {"R": (0, -1), "L": (0, 1), "A": (1, -1), "P": (1, 1), "I": (2, -1), "S": (2, 1)}


def add_labels(viewer, volume, value=1):
    """Empty labels over a volume; returns the layer and the array in file order."""
    stored = np.zeros(volume.geometry.shape, np.uint8)
    options = labels_options(volume.geometry, table_from_names({1: "liver"}), volume.source, "labels")
    view = frame_of(volume.geometry).view(stored)
    layer = viewer.add_labels(TrackedArray(view), **options)
    layer.selected_label = value
    return layer, stored


def far_voxels(layer, dims):
    """Three voxels in a row, far from the centre, in a slice far from the middle; that slice is shown."""
    axis, vertical, horizontal = dims.order
    voxel = np.zeros(3, int)
    voxel[axis], voxel[vertical], voxel[horizontal] = 3, 4, layer.data.shape[horizontal] - 8
    dims.point = layer.data_to_world(voxel)
    row = [voxel.copy() for _ in range(3)]
    for n, v in enumerate(row):
        v[horizontal] += n
    return [tuple(int(i) for i in v) for v in row]


def test_a_stroke_changes_the_voxels_under_the_cursor_and_no_other(open_viewer, mouse, any_volume):
    viewer = open_viewer()
    hands = Hands(viewer)
    add_volume(viewer, any_volume)
    layer, stored = add_labels(viewer, any_volume)
    frame = info_of(layer).frame
    layer.mode = "paint"
    for plane in Plane:
        show_plane(viewer, plane)
        axis, vertical, horizontal = viewer.dims.order
        for size in (1, 7):
            layer.brush_size = size
            voxels = far_voxels(layer, viewer.dims)
            layer.data[...] = 0
            layer.refresh()
            layer.data.take_changed()
            mouse.stroke(viewer, layer, voxels)
            painted = np.argwhere(layer.data)
            assert set(painted[:, axis]) == {voxels[0][axis]}
            assert {tuple(v) for v in voxels} <= {tuple(v) for v in painted}
            if size == 1:
                assert len(painted) == 3
            reach = np.abs(painted[:, None] - np.array(voxels)).min(axis=1)
            assert reach.max() <= size
            assert {tuple(frame.to_file(v)) for v in painted} == {tuple(v) for v in np.argwhere(stored)}
            changed = layer.data.take_changed()
            assert all(lo <= v[i] < hi for v in painted for i, (lo, hi) in enumerate(changed))
            assert changed[axis] == (voxels[0][axis], voxels[0][axis] + 1)
            assert (vertical, horizontal) == tuple(viewer.dims.displayed)
    hands.uninstall()


def test_the_cursor_reads_the_patients_millimetres_on_the_side_the_letters_say(open_viewer, mouse, any_volume):
    viewer = open_viewer()
    hands, letters = Hands(viewer), OrientationLetters(viewer)
    (layer,) = add_volume(viewer, any_volume)
    frame, geometry = info_of(layer).frame, any_volume.geometry
    seen = []
    viewer.mouse_drag_callbacks.append(lambda viewer, event: seen.append(under_cursor(viewer, event.position)))
    for plane in Plane:
        show_plane(viewer, plane)
        voxels = far_voxels(layer, viewer.dims)
        for voxel in voxels:
            mouse.click(viewer, layer, voxel)
            stored = frame.to_file(voxel)
            np.testing.assert_allclose(seen[-1].lps, geometry.lps(stored), atol=1e-3)
            assert seen[-1].index == tuple(stored)
            assert seen[-1].texts == (f"{any_volume.array[tuple(stored)]} HU",)
            mouse.hover(viewer, layer, voxel)
            assert hands.cursor_line.text == seen[-1].text()
        height, width = viewer.canvas.size
        for side, pixel, back in (
            ("right", (width / 2 + 60, height / 2), (width / 2 - 60, height / 2)),
            ("top", (width / 2, height / 2 - 30), (width / 2, height / 2 + 30)),
        ):
            mouse.drag(viewer, [back])
            mouse.drag(viewer, [pixel])
            axis, sign = LETTERS[letters.shown()[side]]
            assert (seen[-1].lps[axis] - seen[-2].lps[axis]) * sign > 0
    letters.close()
    hands.uninstall()


def test_wheel_scrolls_control_wheel_zooms_about_the_cursor(open_viewer, mouse, make_volume):
    viewer = open_viewer()
    hands = Hands(viewer)
    (layer,) = add_volume(viewer, make_volume())
    labels, _ = add_labels(viewer, make_volume())
    for active in (layer, labels):
        viewer.layers.selection.active = active
        for plane, towards in ((Plane.AXIAL, -1), (Plane.CORONAL, 1), (Plane.SAGITTAL, 1)):
            show_plane(viewer, plane)
            axis, zoom = plane.order[0], viewer.scene.camera.zoom
            start = viewer.dims.current_step[axis]
            mouse.wheel(viewer, -1)
            assert viewer.dims.current_step[axis] == start + towards
            for notches in (-0.5, -0.5, -2):
                mouse.wheel(viewer, notches)
            assert viewer.dims.current_step[axis] == start + 4 * towards
            mouse.wheel(viewer, 3)
            assert viewer.dims.current_step[axis] == start + towards
            assert viewer.scene.camera.zoom == zoom
            voxel = far_voxels(layer, viewer.dims)[0]
            step, pixel = viewer.dims.current_step, mouse.pixel(viewer, layer, voxel)
            mouse.wheel(viewer, 2, pixel, CONTROL)
            assert viewer.scene.camera.zoom > zoom
            assert viewer.dims.current_step == step
            assert mouse.pixel(viewer, layer, voxel) == pytest.approx(pixel, abs=0.5)
            viewer.fit_to_view()
    show_3d(viewer)
    zoom, step = viewer.scene.camera.zoom, viewer.dims.current_step
    mouse.wheel(viewer, 1)
    assert viewer.scene.camera.zoom > zoom
    assert viewer.dims.current_step == step
    hands.uninstall()


def test_wheel_stops_at_the_last_slice(open_viewer, mouse, make_volume):
    viewer = open_viewer()
    hands = Hands(viewer)
    add_volume(viewer, make_volume())
    show_plane(viewer, Plane.AXIAL)
    mouse.wheel(viewer, -100)
    assert viewer.dims.current_step[0] == 0
    mouse.wheel(viewer, 1)
    assert viewer.dims.current_step[0] == 1
    hands.uninstall()


@pytest.mark.parametrize("mode", ["pan_zoom", "paint", "erase", "fill", "polygon", "pick"])
def test_a_right_drag_windows_whatever_the_tool(open_viewer, mouse, make_volume, mode):
    viewer = open_viewer()
    hands = Hands(viewer)
    (image,) = add_volume(viewer, make_volume())
    layer, stored = add_labels(viewer, make_volume(), value=3)
    show_plane(viewer, Plane.AXIAL)
    layer.data[...] = 2
    layer.mode = mode
    camera = viewer.scene.camera
    before = (camera.center, camera.zoom, camera.mouse_pan, list(layer.mouse_drag_callbacks))
    low, high = image.contrast_limits
    mouse.drag(viewer, [(400, 400), (440, 400), (500, 400)], RIGHT)
    wider = image.contrast_limits
    assert wider[1] - wider[0] > high - low
    assert sum(wider) == pytest.approx(low + high)
    mouse.drag(viewer, [(400, 400), (400, 360), (400, 300)], RIGHT)
    brighter = image.contrast_limits
    assert brighter[1] - brighter[0] == pytest.approx(wider[1] - wider[0])
    assert sum(brighter) < sum(wider)
    assert np.all(stored == 2)
    assert layer.selected_label == 3
    assert layer.mode == mode
    assert (camera.center, camera.zoom, camera.mouse_pan, list(layer.mouse_drag_callbacks)) == before
    mouse.drag(viewer, [(450, 450), (460, 460)])
    assert image.contrast_limits == brighter
    assert np.any(stored != 2) == (mode in ("paint", "erase", "fill"))
    hands.uninstall()


def test_a_window_belongs_to_the_active_image_else_to_the_topmost(open_viewer, mouse, make_volume):
    viewer = open_viewer()
    hands = Hands(viewer)
    (lower,) = add_volume(viewer, make_volume())
    (upper,) = add_volume(viewer, make_volume(modality="MR"))
    show_plane(viewer, Plane.AXIAL)
    for active, moved in ((lower, lower), (upper, upper), (None, upper)):
        viewer.layers.selection.active = active
        before = {layer: layer.contrast_limits for layer in (lower, upper)}
        mouse.drag(viewer, [(400, 400), (480, 400)], RIGHT)
        assert {layer for layer in before if layer.contrast_limits != before[layer]} == {moved}
    hands.uninstall()


def test_uninstall_gives_the_viewer_back(open_viewer, mouse, make_volume):
    viewer = open_viewer()
    add_volume(viewer, make_volume())
    camera, bar = viewer.scene.camera, viewer.canvas.overlays.scale_bar

    def state():
        callbacks = (viewer.mouse_wheel_callbacks, viewer.mouse_drag_callbacks, viewer.mouse_move_callbacks)
        return (
            [list(c) for c in callbacks],
            camera.mouse_zoom,
            camera.mouse_pan,
            bar.visible,
            set(viewer.canvas.overlays),
        )

    before = state()
    hands = Hands(viewer)
    assert bar.visible
    mouse.drag(viewer, [(400, 400), (480, 400)], RIGHT)
    hands.uninstall()
    assert state() == before
    zoom = camera.zoom
    mouse.wheel(viewer, 1)
    assert camera.zoom != zoom


def test_the_users_own_oblique_layer_stays_as_it_was(open_viewer, mouse, make_volume):
    viewer = open_viewer()
    volume = make_volume("oblique 15")
    data = volume.array.copy()
    own = viewer.add_image(data, affine=volume.geometry.affine(), name="mine", contrast_limits=(-100, 100))
    affine = own.affine.affine_matrix.copy()
    hands, letters = Hands(viewer), OrientationLetters(viewer)
    (ours,) = add_volume(viewer, volume)
    layer, _ = add_labels(viewer, volume)
    layer.mode = "paint"
    for plane in Plane:
        show_plane(viewer, plane)
        mouse.stroke(viewer, layer, far_voxels(layer, viewer.dims))
        mouse.drag(viewer, [(400, 400), (480, 380)], RIGHT)
    show_3d(viewer)
    assert own.data is data
    np.testing.assert_array_equal(data, volume.array)
    np.testing.assert_array_equal(own.affine.affine_matrix, affine)
    assert own.contrast_limits == [-100, 100]
    assert (own.name, own.metadata) == ("mine", {})
    assert ours.data is not own.data
    letters.close()
    hands.uninstall()


@pytest.mark.parametrize("kind", ["axial", "sagittal", "oblique 15"])
def test_jump_brings_the_box_to_the_middle_with_its_surroundings(open_viewer, mouse, make_volume, kind):
    viewer = open_viewer()
    (layer,) = add_volume(viewer, make_volume(kind))
    frame = info_of(layer).frame
    box = ((2, 5), (10, 14), (3, 11))
    for plane in Plane:
        show_plane(viewer, plane)
        mouse.rest()
        height, width = viewer.canvas.size
        jump(viewer, box, frame, center=(4, 11, 5))
        assert viewer.canvas.size == (height, width)
        pixels = [
            mouse.pixel(viewer, layer, _in_slice(corner, viewer, (4, 11, 5))) for corner in zip(*box, strict=True)
        ]
        middle = np.mean([np.array(p) for p in pixels], axis=0)
        # half a voxel: the box ends before its upper corner
        assert np.abs(middle - (width / 2, height / 2)).max() <= 2.5 * viewer.scene.camera.zoom
        size = np.array([(hi - lo) * abs(s) for (lo, hi), s in zip(box, frame.scale, strict=True)])
        shown = size[list(viewer.dims.displayed)] + SURROUNDINGS
        assert viewer.scene.camera.zoom == pytest.approx(min(height / shown[0], width / shown[1]))
        np.testing.assert_allclose(frame.index(viewer.dims.point), (4, 11, 5), atol=1e-6)


def _in_slice(corner, viewer, center):
    axis = viewer.dims.order[0]
    return tuple(center[i] if i == axis else c for i, c in enumerate(corner))


def test_the_cursor_names_the_label_and_falls_silent_outside(open_viewer, mouse, make_volume):
    viewer = open_viewer()
    hands = Hands(viewer)
    volume = make_volume(known=False, modality="MR")
    (image,) = add_volume(viewer, volume)
    layer, _ = add_labels(viewer, volume)
    show_plane(viewer, Plane.AXIAL)
    voxel = far_voxels(layer, viewer.dims)[0]
    layer.data[voxel] = 1
    mouse.hover(viewer, layer, voxel)
    assert hands.cursor_line.text.endswith(f"liver  |  {image.data[voxel]}")
    assert hands.cursor_line.text.startswith("x ")
    mouse.wheel(viewer, -1, mouse.pixel(viewer, layer, voxel))
    assert "liver" not in hands.cursor_line.text
    mouse.move_to(viewer, (2, 2))
    assert hands.cursor_line.text == ""
    show_3d(viewer)
    mouse.move_to(viewer, (300, 300))
    assert hands.cursor_line.text == ""
    hands.uninstall()


def test_no_hands_slip_on_an_empty_viewer(open_viewer, mouse):
    viewer = open_viewer()
    hands = Hands(viewer)
    mouse.wheel(viewer, -1)
    mouse.drag(viewer, [(300, 300), (350, 350)], RIGHT)
    mouse.move_to(viewer, (300, 300))
    hands.uninstall()


def test_presets(make_viewer_model, make_volume):
    viewer = make_viewer_model()
    (ct,) = add_volume(viewer, make_volume(modality=""))
    assert ct.contrast_limits == [-160, 240]
    assert ct.contrast_limits_range == [-1000, 1499]
    for name, (level, width) in WINDOWS.items():
        apply_window(ct, name)
        assert ct.contrast_limits == [level - width / 2, level + width / 2]
    apply_window(ct, "full range")
    assert ct.contrast_limits == [-1000, 1499]
    with pytest.raises(InputError, match="no window is called 'nose'"):
        apply_window(ct, "nose")


@pytest.mark.parametrize("array", [np.zeros((3, 4, 5)), np.full((3, 4, 5), np.nan), np.ones((1, 1, 1), np.uint8)])
def test_every_preset_suits_a_flat_image(make_viewer_model, array):
    volume = Volume(array, Geometry(shape=array.shape, spacing=(1, 1, 1)), "flat.nii")
    (layer,) = add_volume(make_viewer_model(), volume)
    for name in PRESETS:
        apply_window(layer, name)
        low, high = layer.contrast_limits
        assert low < high


def test_channels_become_layers_with_their_names(make_viewer_model):
    array = np.random.default_rng(0).random((2, 3, 4, 5))
    geometry = Geometry(shape=(3, 4, 5), spacing=(1, 1, 1))
    viewer = make_viewer_model()
    layers = add_volume(viewer, Volume(array, geometry, "a/b/brain.nii.gz", channels=("FLAIR", "T1")))
    assert [layer.name for layer in layers] == ["FLAIR", "T1"]
    for number, layer in enumerate(layers):
        assert np.shares_memory(layer.data, array[number])
    assert not any(isinstance(layer, Labels) for layer in viewer.layers)
    assert str(viewer.layers.extent.units[0]) == "millimeter"
