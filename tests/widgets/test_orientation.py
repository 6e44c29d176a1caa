from __future__ import annotations

import napari
import numpy as np
import pytest
from napari.components import ViewerModel

from napari_deferredseg.widgets.viewer.hands import jump
from napari_deferredseg.widgets.viewer.orientation import OrientationLetters, Plane, plane_shown, show_3d, show_plane
from napari_deferredseg.widgets.viewer.volume_layers import add_volume, info_of

EXPECTED = {
    Plane.AXIAL: {"left": "R", "right": "L", "top": "A", "bottom": "P"},
    Plane.CORONAL: {"left": "R", "right": "L", "top": "S", "bottom": "I"},
    Plane.SAGITTAL: {"left": "A", "right": "P", "top": "S", "bottom": "I"},
}
FRONT = EXPECTED[Plane.CORONAL]
NOWHERE = dict.fromkeys(FRONT, "?")
NOTHING = dict.fromkeys(FRONT, "")


@pytest.fixture
def viewer(make_volume):
    model = ViewerModel()
    add_volume(model, make_volume())
    return model


@pytest.fixture
def letters(viewer):
    return OrientationLetters(viewer)


def press(viewer, action):
    """Do what a key of napari's does, through its own action."""
    napari.utils.action_manager.action_manager._actions[f"napari:{action}"].command(viewer)


def test_letters_in_every_plane_and_on_the_way_back(viewer, letters):
    for plane in (Plane.AXIAL, Plane.CORONAL, Plane.SAGITTAL, Plane.CORONAL, Plane.AXIAL, Plane.SAGITTAL, Plane.AXIAL):
        show_plane(viewer, plane)
        assert letters.shown() == EXPECTED[plane]
        assert plane_shown(viewer) is plane


@pytest.mark.parametrize("plane", Plane)
def test_letters_in_3d_and_back(viewer, letters, plane):
    show_plane(viewer, plane)
    show_3d(viewer)
    assert letters.shown() == FRONT
    assert plane_shown(viewer) is None
    show_plane(viewer, plane)
    assert letters.shown() == EXPECTED[plane]


@pytest.mark.parametrize("plane", Plane)
def test_toggling_3d_by_napari_keeps_the_letters_of_the_plane(viewer, letters, plane):
    show_plane(viewer, plane)
    press(viewer, "toggle_ndisplay")
    assert letters.shown() == EXPECTED[plane]
    press(viewer, "toggle_ndisplay")
    assert letters.shown() == EXPECTED[plane]


def test_letters_follow_the_camera_round_the_patient(viewer, letters):
    show_3d(viewer)
    camera = viewer.scene.camera
    for view, up, expected in (
        ((0, -1, 0), (1, 0, 0), {"left": "L", "right": "R", "top": "S", "bottom": "I"}),
        ((0, 0, -1), (1, 0, 0), {"left": "A", "right": "P", "top": "S", "bottom": "I"}),
        ((1, 0, 0), (0, -1, 0), {"left": "R", "right": "L", "top": "A", "bottom": "P"}),
        ((-1, 0, 0), (0, -1, 0), {"left": "L", "right": "R", "top": "A", "bottom": "P"}),
        ((0, 1, -1), (1, 0, 0), {"left": "RA", "right": "LP", "top": "S", "bottom": "I"}),
    ):
        camera.set_view_direction(view, up)
        shown = {side: "".join(sorted(text)) for side, text in letters.shown().items()}
        assert shown == {side: "".join(sorted(text)) for side, text in expected.items()}


def test_letters_follow_a_mirrored_camera(viewer, letters):
    show_plane(viewer, Plane.AXIAL)
    viewer.scene.camera.orientation = ("away", "up", "left")
    assert letters.shown() == {"left": "L", "right": "R", "top": "P", "bottom": "A"}
    viewer.dims.ndisplay = 3
    assert letters.shown() == {"left": "L", "right": "R", "top": "P", "bottom": "A"}


def test_letters_follow_rolled_and_transposed_axes(viewer, letters):
    show_plane(viewer, Plane.AXIAL)
    press(viewer, "transpose_axes")
    assert letters.shown() == {"left": "A", "right": "P", "top": "R", "bottom": "L"}
    assert plane_shown(viewer) is None
    press(viewer, "transpose_axes")
    assert letters.shown() == EXPECTED[Plane.AXIAL]
    press(viewer, "roll_axes")
    assert letters.shown() == {"left": "A", "right": "P", "top": "I", "bottom": "S"}
    show_plane(viewer, Plane.AXIAL)
    assert letters.shown() == EXPECTED[Plane.AXIAL]


def test_a_turned_layer_has_no_sides(viewer, letters):
    show_plane(viewer, Plane.AXIAL)
    press(viewer, "rotate_layers")
    assert letters.shown() == NOWHERE
    assert "moved or turned" in letters.banner
    layer = viewer.layers[0]
    layer.affine = np.eye(4)
    assert letters.shown() == EXPECTED[Plane.AXIAL]
    assert letters.banner == ""


def test_unknown_orientation_is_said(make_volume):
    viewer = ViewerModel()
    letters = OrientationLetters(viewer)
    said = []
    letters.banner_changed.connect(said.append)
    assert letters.shown() == NOTHING
    add_volume(viewer, make_volume(known=False))
    for plane in Plane:
        show_plane(viewer, plane)
        assert letters.shown() == NOWHERE
    assert said == [letters.banner]
    assert "ORIENTATION UNKNOWN" in letters.banner
    viewer.layers.clear()
    assert letters.shown() == NOTHING
    assert letters.banner == ""


def test_the_tilt_is_said(make_volume):
    viewer = ViewerModel()
    letters = OrientationLetters(viewer)
    (layer,) = add_volume(viewer, make_volume("oblique 15"))
    assert letters.banner == "oblique 21°"
    show_plane(viewer, Plane.AXIAL)
    assert letters.shown() == EXPECTED[Plane.AXIAL]
    layer.visible = False
    assert letters.banner == ""


def test_letters_are_about_our_layers_only(make_volume):
    viewer = ViewerModel()
    letters = OrientationLetters(viewer)
    viewer.add_image(np.zeros((4, 5, 6)))
    assert letters.shown() == NOTHING
    add_volume(viewer, make_volume())
    show_plane(viewer, Plane.AXIAL)
    assert letters.shown() == EXPECTED[Plane.AXIAL]


def test_close_takes_everything_away(viewer, letters):
    before = set(ViewerModel().canvas.overlays)
    letters.close()
    assert set(viewer.canvas.overlays) == before
    show_plane(viewer, Plane.SAGITTAL)
    viewer.layers[0].visible = False
    viewer.layers.clear()


def test_without_a_volume_there_is_no_plane():
    viewer = ViewerModel()
    show_plane(viewer, Plane.CORONAL)
    show_3d(viewer)
    assert viewer.dims.ndisplay == 2


def test_a_magnified_place_stays_in_sight_in_the_other_planes(viewer):
    show_plane(viewer, Plane.AXIAL)
    frame = info_of(viewer.layers[0]).frame
    box = ((2, 4), (3, 6), (20, 24))
    jump(viewer, box, frame)
    viewer.scene.camera.zoom = zoom = viewer.scene.camera.zoom * 3
    point = viewer.dims.point
    for plane in (Plane.CORONAL, Plane.SAGITTAL, Plane.AXIAL):
        show_plane(viewer, plane)
        assert viewer.dims.point == pytest.approx(point)
        assert viewer.scene.camera.zoom == pytest.approx(zoom)
        assert viewer.scene.camera.center[-2:] == pytest.approx([point[axis] for axis in viewer.dims.displayed])


def test_the_point_survives_3d(viewer):
    show_plane(viewer, Plane.CORONAL)
    viewer.dims.set_current_step(1, 5)
    point = viewer.dims.point
    show_3d(viewer)
    show_plane(viewer, Plane.CORONAL)
    assert viewer.dims.point == pytest.approx(point)
