from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.spatial.transform import Rotation

from napari_deferredseg.core.geometry import Geometry


@st.composite
def geometries(draw):
    number = st.floats(-500, 500, allow_nan=False)
    turn = Rotation.from_euler("xyz", draw(st.tuples(*[st.floats(-180, 180)] * 3)), degrees=True).as_matrix()
    if draw(st.booleans()):
        turn[:, 0] *= -1
    return Geometry(
        shape=draw(st.tuples(*[st.integers(1, 40)] * 3)),
        spacing=draw(st.tuples(*[st.floats(0.1, 10)] * 3)),
        origin=draw(st.tuples(number, number, number)),
        direction=tuple(tuple(float(v) for v in row) for row in turn),
    )


INDICES = st.tuples(*[st.integers(-5, 45)] * 3)


@given(geometries(), INDICES)
def test_points_are_those_of_simpleitk(geometry, index):
    image = sitk.Image([int(n) for n in geometry.shape[::-1]], sitk.sitkUInt8)
    image.SetSpacing(geometry.spacing)
    image.SetOrigin(geometry.origin)
    image.SetDirection(np.ravel(geometry.direction).tolist())
    expected = image.TransformContinuousIndexToPhysicalPoint([float(i) for i in index[::-1]])
    np.testing.assert_allclose(geometry.lps(index), expected, atol=1e-6)


@given(geometries(), st.lists(INDICES, min_size=1, max_size=5))
def test_index_is_the_way_back(geometry, indices):
    np.testing.assert_allclose(geometry.index(geometry.lps(indices)), indices, atol=1e-6)


@given(geometries())
def test_affine_and_voxel_volume_agree(geometry):
    affine = geometry.affine()
    assert abs(np.linalg.det(affine[:3, :3])) == pytest.approx(geometry.voxel_volume)
    np.testing.assert_allclose(affine @ (1, 2, 3, 1), (*geometry.lps((1, 2, 3)), 1))
    assert geometry.spacing_zyx == geometry.spacing[::-1]


@given(geometries(), st.tuples(*[st.floats(-1, 1)] * 3))
def test_a_shift_makes_another_grid_beyond_the_tolerance(geometry, shift):
    moved = geometry.model_copy(update={"origin": tuple(np.add(geometry.origin, shift).tolist())})
    largest = float(np.abs(np.subtract(moved.origin, geometry.origin)).max())
    if largest < 0.9e-3:
        assert geometry.same_grid(moved)
    elif largest > 1.1e-3:
        assert not geometry.same_grid(moved)
        assert "mm away" in geometry.difference(moved)
        assert geometry.same_grid(moved, tolerance=largest * 1.01)


def test_the_far_corner_counts_not_only_the_origin():
    a = Geometry(shape=(300, 512, 512), spacing=(0.7, 0.7, 1.0))
    b = a.model_copy(update={"spacing": (0.7, 0.7, 1.00001)})
    assert "mm away" in a.difference(b)


def test_another_size_is_named():
    a = Geometry(shape=(3, 4, 5), spacing=(1, 1, 1))
    b = a.model_copy(update={"shape": (3, 4, 6)})
    assert a.difference(b) == "its size (z, y, x) is (3, 4, 6), not (3, 4, 5)"


@pytest.mark.parametrize(
    "facts",
    [
        {"shape": (0, 4, 5)},
        {"shape": (3, 4, -5)},
        {"spacing": (1, 0, 1)},
        {"spacing": (1, -1, 1)},
        {"spacing": (1, float("nan"), 1)},
        {"spacing": (1, float("inf"), 1)},
        {"origin": (0, float("nan"), 0)},
        {"direction": ((1, 0, 0), (0, 1, 0), (0, 0, 0))},
        {"direction": ((1, 0.3, 0), (0, 1, 0), (0, 0, 1))},
        {"direction": ((2, 0, 0), (0, 1, 0), (0, 0, 1))},
    ],
)
def test_impossible_grids_are_refused(facts):
    with pytest.raises(ValidationError):
        Geometry(**({"shape": (3, 4, 5), "spacing": (1, 1, 1)} | facts))
