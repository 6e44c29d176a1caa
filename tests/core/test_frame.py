from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from napari_deferredseg.core.frame import Frame, frame_of
from napari_deferredseg.core.geometry import Geometry

SIGNED_PERMUTATIONS = [
    np.eye(3)[:, list(p)] * np.array(signs) for p in permutations(range(3)) for signs in product((1, -1), repeat=3)
]


def matrix(array):
    return tuple(tuple(float(v) for v in row) for row in array)


@st.composite
def geometries(draw, max_angle=20.0):
    base = draw(st.sampled_from(SIGNED_PERMUTATIONS))
    angles = draw(st.tuples(*[st.floats(-max_angle, max_angle)] * 3))
    direction = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() @ base
    return Geometry(
        shape=draw(st.tuples(*[st.integers(1, 9)] * 3)),
        spacing=draw(st.tuples(*[st.floats(0.2, 6.0)] * 3)),
        origin=draw(st.tuples(*[st.floats(-300, 300)] * 3)),
        direction=matrix(direction),
    )


def every_index(shape):
    return np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), axis=-1)


@pytest.mark.parametrize("direction", SIGNED_PERMUTATIONS, ids=str)
def test_a_straight_volume_lies_exactly_where_the_patient_is(direction):
    geometry = Geometry(shape=(3, 4, 5), spacing=(0.7, 0.9, 3.0), origin=(-11, 22, 33), direction=matrix(direction))
    frame = frame_of(geometry)
    index = every_index(frame.shape)
    assert frame.tilt == 0
    np.testing.assert_allclose(frame.world(index)[..., ::-1], geometry.lps(frame.to_file(index)), atol=1e-9)


@settings(deadline=None)
@given(geometries())
def test_the_frame_never_rotates_and_keeps_the_centre(geometry):
    frame = frame_of(geometry)
    scale = frame.affine[:3, :3]
    assert np.count_nonzero(scale - np.diag(np.diag(scale))) == 0
    middle = (np.array(frame.shape) - 1) / 2
    np.testing.assert_allclose(frame.world(middle)[::-1], geometry.lps(frame.to_file(middle)), atol=1e-6)


@settings(deadline=None)
@given(geometries(max_angle=0.0), st.floats(0.0, 40.0))
def test_tilt_is_the_angle_of_the_rotation(geometry, angle):
    turned = Rotation.from_euler("y", angle, degrees=True).as_matrix() @ np.array(geometry.direction)
    frame = frame_of(geometry.model_copy(update={"direction": matrix(turned)}))
    assert frame.tilt == pytest.approx(angle, abs=1e-4)
    if abs(angle - 0.5) > 1e-3:
        assert frame.oblique == (angle > 0.5)


@settings(deadline=None)
@given(geometries(), st.booleans())
def test_view_is_the_same_memory_and_the_same_voxels(geometry, channels):
    shape = (2, *geometry.shape) if channels else geometry.shape
    array = np.arange(np.prod(shape)).reshape(shape)
    frame = frame_of(geometry)
    view = frame.view(array)
    assert view.shape[-3:] == frame.shape
    assert np.shares_memory(view, array)
    for index in ((0, 0, 0), tuple(n - 1 for n in frame.shape)):
        np.testing.assert_array_equal(view[..., *index], array[..., *frame.to_file(index)])  # type: ignore[arg-type]
    np.testing.assert_array_equal(frame.file_order(view), array)


@settings(deadline=None)
@given(geometries())
def test_indices_and_boxes_go_there_and_back(geometry):
    frame = frame_of(geometry)
    index = every_index(frame.shape)
    np.testing.assert_array_equal(frame.to_view(frame.to_file(index)), index)
    np.testing.assert_allclose(frame.index(frame.world(index)), index, atol=1e-6)
    box = ((0, 1), (2, 5), (3, 9))
    assert frame.box_to_view(frame.box_to_file(box)) == box
    starts, stops = zip(*box, strict=True)
    assert frame.box_to_file(box) == tuple(zip(frame.to_file(starts), frame.to_file(stops), strict=True))


def test_a_sagittal_acquisition_is_turned_to_the_patient():
    direction = ((0.0, 0.0, 1.0), (1.0, 0.0, 0.0), (0.0, -1.0, 0.0))  # x runs back, y runs down, z runs left
    frame = frame_of(Geometry(shape=(3, 4, 5), spacing=(1, 2, 3), direction=direction))
    assert isinstance(frame, Frame)
    assert frame.shape == (4, 5, 3)
    assert frame.affine[0, 0] == -2
    assert frame.affine[1, 1] == 1
    assert frame.affine[2, 2] == 3
