"""The generated abdomen: two AIs that err in different places, coherently."""

from __future__ import annotations

import cc3d
import numpy as np
import pytest

from napari_deferredseg.io.phantom import TABLE, make_phantom


@pytest.fixture(scope="module")
def phantom():
    return make_phantom()


def dice(a, b) -> float:
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


def test_same_seed_same_abdomen(phantom):
    again, other = make_phantom(), make_phantom(seed=1)
    np.testing.assert_array_equal(again.volume.array, phantom.volume.array)
    np.testing.assert_array_equal(again.first.array, phantom.first.array)
    assert (other.volume.array != phantom.volume.array).mean() > 0.5


def test_it_looks_like_ct(phantom):
    array = phantom.volume.array
    assert array.dtype == np.int16
    assert array.min() <= -950
    assert 400 < array.max() < 3072
    liver, fat = array[phantom.truth.array == 1], array[(array > -130) & (array < -60)]
    assert 100 < np.median(liver) < 115
    assert fat.size > array.size * 0.05


@pytest.mark.parametrize("label", [label.value for label in TABLE.labels])
def test_both_ais_know_the_organs_and_err(phantom, label):
    truth, first, second = (x.array == label for x in (phantom.truth, phantom.first, phantom.second))
    for mask in (first, second):
        assert 0.5 < dice(truth, mask) < 0.999
    assert dice(first, second) < 0.99


def test_their_errors_are_patches_not_specks(phantom):
    differs = phantom.first.array != phantom.second.array
    sizes = np.sort(np.bincount(cc3d.connected_components(differs, connectivity=26).ravel())[1:])[::-1]
    assert 0.05 < differs.sum() / np.count_nonzero(phantom.first.array) < 0.4
    assert sizes[:20].sum() > 0.6 * differs.sum()


def test_each_ai_misses_a_lesion_that_the_other_finds(phantom):
    lesions = cc3d.connected_components(phantom.truth.array == 6, connectivity=26)
    found = {
        name: {n for n in range(1, lesions.max() + 1) if (mask.array[lesions == n] == 6).mean() > 0.3}
        for name, mask in (("first", phantom.first), ("second", phantom.second))
    }
    assert found["first"] - found["second"]
    assert found["second"] - found["first"]
