from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from napari_deferredseg.masks.consensus import votes

maps = st.integers(2, 6).flatmap(
    lambda n: hnp.arrays(np.uint8, (n, 2, 3, 4), elements=st.sampled_from([0, 1, 2, 7, 255]))
)


@given(maps)
def test_counts_as_one_would_by_hand(stack):
    first, others = stack[0], list(stack[1:])
    disagreement, alternative = votes(first, others)
    assert disagreement.dtype == np.float32
    for index in np.ndindex(first.shape):
        against = Counter(int(o[index]) for o in others if o[index] != first[index])
        assert disagreement[index] == pytest.approx(against.total() / len(others))
        best = min(against, key=lambda v: (-against[v], v)) if against else first[index]
        assert alternative[index] == best


@given(maps, st.randoms())
def test_the_order_of_the_votes_does_not_matter(stack, random):
    others = list(stack[1:])
    shuffled = random.sample(others, len(others))
    for a, b in zip(votes(stack[0], others), votes(stack[0], shuffled), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_label_that_needs_more_bits_is_kept():
    first = np.zeros((1, 1, 2), np.uint8)
    other = np.array([[[0, 300]]], np.uint16)
    assert votes(first, [other])[1].tolist() == [[[0, 300]]]


def test_refuses_no_votes_and_other_shapes():
    first = np.zeros((1, 2, 2), np.uint8)
    for others in ([], [np.zeros((1, 2, 3), np.uint8)]):
        with pytest.raises(ValueError, match="votes"):
            votes(first, others)


@pytest.mark.data
def test_seven_raters_of_one_brain(data):
    folder = data / "brain_growth_7raters"
    raters = [
        (np.array(Image.open(folder / f"case05_rater{i}.png").convert("L")) > 127).astype(np.uint8)[None]
        for i in range(1, 8)
    ]
    disagreement, alternative = votes(raters[0], raters[1:])
    np.testing.assert_allclose(disagreement, (np.stack(raters[1:]) != raters[0]).mean(axis=0), atol=1e-6)
    assert 0.01 < (disagreement > 0).mean() < 0.3
    np.testing.assert_array_equal(alternative != raters[0], disagreement > 0)
