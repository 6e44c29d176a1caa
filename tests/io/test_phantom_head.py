"""The generated head: an MR without a unit, and two AIs that err in different places."""

from __future__ import annotations

import numpy as np
import pytest

from napari_deferredseg.io.phantom_head import TABLE, make_head


@pytest.fixture(scope="module")
def head():
    return make_head()


def _dice(a, b) -> float:
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


def test_same_seed_same_head(head):
    np.testing.assert_array_equal(make_head().volume.array, head.volume.array)


def test_it_looks_like_a_t1_weighted_mr(head):
    array, truth = head.volume.array, head.truth.array
    assert (head.volume.modality, array.dtype) == ("MR", np.int16)
    assert array.min() >= 0
    fluid, brain, air = (np.median(array[where]) for where in (truth == 2, truth == 1, array < 60))
    assert air < fluid < brain


@pytest.mark.parametrize("label", TABLE.labels, ids=lambda label: label.name)
def test_both_ais_know_each_part_and_err(head, label):
    truth, first, second = (x.array == label.value for x in (head.truth, head.first, head.second))
    for mask in (first, second):
        assert 0.4 < _dice(truth, mask) < 0.999
    assert _dice(first, second) < 0.99
