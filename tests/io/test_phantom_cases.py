"""The family of generated abdomens: CT-like, varied, the same for a seed, and not all told by the image."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_deferredseg.io.phantom import SHAPE, SPACING, TABLE, grid_of
from napari_deferredseg.io.phantom_cases import PHASES, make_case


@pytest.fixture(scope="module")
def family():
    return [make_case(0, n, "small") for n in range(20)]


def test_a_patient_depends_on_seed_and_number_alone():
    a, again, number, seed = (make_case(*which, "small") for which in ((3, 7), (3, 7), (3, 8), (4, 7)))
    np.testing.assert_array_equal(a.volume.array, again.volume.array)
    np.testing.assert_array_equal(a.truth.array, again.truth.array)
    for other in (number, seed):
        assert (other.truth.array != a.truth.array).mean() > 0.01


def test_the_full_size_is_the_demos_grid():
    full = make_case(0, 0)
    assert full.volume.geometry == full.truth.geometry == grid_of(SHAPE, SPACING)
    assert full.truth.table == TABLE
    assert (full.volume.array.dtype, full.truth.array.dtype) == (np.int16, np.uint8)


def test_the_small_size_is_the_same_body_with_fewer_voxels():
    small = make_case(0, 0, "small").volume.geometry
    full = grid_of(SHAPE, SPACING)
    extents = [np.multiply(g.shape[::-1], g.spacing) for g in (small, full)]
    np.testing.assert_allclose(*extents)  # type: ignore[arg-type]
    assert np.prod(full.shape) == 4 * np.prod(small.shape)


def test_they_look_like_ct(family):
    for case in family:
        array = case.volume.array
        assert array.min() <= -950
        assert 350 < array.max() < 3072
        liver = np.median(array[case.truth.array == 1])
        assert abs(liver - PHASES[case.phase][1][0]) < 15


def test_they_differ_as_patients_do(family):
    volumes = np.array([np.bincount(case.truth.array.ravel(), minlength=7)[1:] for case in family])
    assert (volumes[:, [0, 4]] > 100).all(), "a liver and an aorta each"
    assert volumes[:, 0].max() > 1.5 * volumes[:, 0].min()
    lesions = volumes[:, 5] > 0
    assert 0.5 < lesions.mean() < 1, "some have no lesion"
    assert {case.phase for case in family} == set(PHASES)


def test_some_lesions_cannot_be_seen(family):
    contrasts = [
        np.median(case.volume.array[case.truth.array == 6]) - np.median(case.volume.array[case.truth.array == 1])
        for case in family
        if (case.truth.array == 6).sum() > 20
    ]
    assert min(contrasts) < -20
    assert min(abs(c) for c in contrasts) < 10


def test_the_truth_leaves_what_is_seen(family):
    """In some patients a part of the liver's label lies on fat or air, deeper than a blurred border explains."""
    shares = []
    for case in family:
        inner = ndimage.distance_transform_edt(case.truth.array == 1, sampling=(4.0, 3.8, 3.8)) > 5
        level = np.median(case.volume.array[inner])
        shares.append((case.volume.array[inner] < level - 100).mean())
    assert max(shares) > 0.002
    assert min(shares) < 0.0005
