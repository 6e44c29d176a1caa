from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from napari_deferredseg.masks.consensus import leave_one_out, majority, staple, votes

quick = settings(deadline=None, max_examples=30)
maps = st.integers(2, 6).flatmap(
    lambda n: hnp.arrays(np.uint8, (n, 2, 3, 4), elements=st.sampled_from([0, 1, 2, 7, 255]))
)


@given(maps)
@quick
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
@quick
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


def stacks(readers: int = 2) -> st.SearchStrategy[tuple[np.ndarray, np.ndarray]]:
    """Masks of two to six readers, and where they answer."""
    shape = st.integers(readers, 6).map(lambda n: (n, 2, 3, 4))
    return shape.flatmap(
        lambda s: st.tuples(
            hnp.arrays(np.uint8, s, elements=st.sampled_from([0, 1, 2, 7, 255])),
            hnp.arrays(np.bool_, s),
        )
    )


@given(stacks())
@quick
def test_majority_counts_as_one_would_by_hand(stack):
    masks, valid = stack
    labels, decided = majority(masks, valid)
    assert (labels.dtype, decided.dtype) == (np.uint8, np.bool_)
    for index in np.ndindex(labels.shape):
        said = Counter(int(m[index]) for m, v in zip(masks, valid, strict=True) if v[index])
        most = max(said.values(), default=0)
        best = sorted(value for value, count in said.items() if count == most)
        assert labels[index] == (best[0] if best else 0)
        assert decided[index] == (len(best) == 1)


@pytest.mark.parametrize("combine", [majority, staple])
@given(stacks(), st.randoms())
@quick
def test_who_is_absent_contributes_nothing(combine, stack, random):
    masks, valid = stack
    labels, decided = combine(masks, valid)
    assert not decided[~valid.any(axis=0)].any()
    assert not labels[~valid.any(axis=0)].any()
    other = np.where(valid, masks, random.choice([0, 3, 255])).astype(np.uint8)
    ghost = np.full_like(masks[:1], random.choice([0, 1, 9]))
    again = combine(np.concatenate([other, ghost]), np.concatenate([valid, np.zeros_like(valid[:1])]))
    np.testing.assert_array_equal(labels, again[0])
    np.testing.assert_array_equal(decided, again[1])


@pytest.mark.parametrize("combine", [majority, staple])
@given(stacks(), st.randoms())
@quick
def test_the_order_of_the_readers_does_not_matter(combine, stack, random):
    masks, valid = stack
    order = random.sample(range(len(masks)), len(masks))
    labels, decided = combine(masks, valid)
    again, sure = combine(masks[order], valid[order])
    np.testing.assert_array_equal(decided, sure)
    np.testing.assert_array_equal(labels[decided], again[decided])


@pytest.mark.parametrize("combine", [majority, staple])
@given(stacks(1))
@quick
def test_where_all_who_answer_agree_it_is_that(combine, stack):
    masks, valid = stack
    agreed = np.broadcast_to(masks[:1], masks.shape)
    labels, decided = combine(agreed, valid)
    np.testing.assert_array_equal(decided, valid.any(axis=0))
    np.testing.assert_array_equal(labels, np.where(decided, masks[0], 0))


@pytest.mark.parametrize(("method", "combine"), [("majority", majority), ("staple", staple)])
@given(stacks())
@quick
def test_left_out_means_without_their_vote(method, combine, stack):
    masks, valid = stack
    found = leave_one_out(masks, valid, method)
    assert found.shape == masks.shape
    for reader in range(len(masks)):
        np.testing.assert_array_equal(
            found[reader], combine(np.delete(masks, reader, 0), np.delete(valid, reader, 0))[0]
        )
        changed = masks.copy()
        changed[reader] = 255 - masks[reader]
        np.testing.assert_array_equal(leave_one_out(changed, valid, method)[reader], found[reader])


def test_staple_trusts_the_careful_and_knows_them_where_few_have_read():
    """Two careless readers outvote a careful one; where only one of each has read, a vote cannot tell, STAPLE can."""
    rng = np.random.default_rng(4)
    truth = (np.indices((4, 40, 40)).sum(axis=0) % 20 < 10).astype(np.uint8)
    masks = np.stack([truth ^ (rng.random(truth.shape) < wrong) for wrong in (0.02, 0.02, 0.35, 0.35, 0.35)])
    masks = masks.astype(np.uint8)
    valid = np.ones(masks.shape, bool)
    valid[1:4, 3] = False  # the last plane: one careful, one careless reader
    labels, decided = staple(masks, valid)
    voted, certain = majority(masks, valid)
    assert (labels != truth)[:3].mean() < 0.03 < (voted != truth)[:3].mean()
    assert (labels != truth)[3].mean() < 0.04
    assert decided[3].all()
    assert not certain[3].all()


def test_staple_has_no_opinion_between_two_who_are_alike():
    masks = np.array([[[[1, 1, 0, 0]]], [[[1, 0, 1, 0]]]], np.uint8)
    labels, decided = staple(masks, np.ones(masks.shape, bool))
    assert decided.tolist() == [[[True, False, False, True]]]
    assert labels.tolist() == [[[1, 0, 0, 0]]]


def test_a_consensus_needs_masks_that_fit():
    masks = np.zeros((2, 1, 2, 2), np.uint8)
    for combine in (majority, staple, leave_one_out):
        with pytest.raises(ValueError, match="masks"):
            combine(masks, np.ones((2, 1, 2, 3), bool))
    with pytest.raises(ValueError, match="one reader"):
        leave_one_out(masks[:1], np.ones((1, 1, 2, 2), bool))


@pytest.mark.data
@pytest.mark.parametrize("case", [1, 12, 23])
def test_staple_of_seven_raters_is_what_itk_finds(data, case):
    folder = data / "brain_growth_7raters"
    files = [folder / f"case{case:02d}_rater{i}.png" for i in range(1, 8)]
    masks = np.stack([(np.array(Image.open(f).convert("L")) > 127).astype(np.uint8)[None] for f in files])
    labels, decided = staple(masks, np.ones(masks.shape, bool))
    images = [sitk.GetImageFromArray(m) for m in masks]
    np.testing.assert_array_equal(labels, sitk.GetArrayFromImage(sitk.MultiLabelSTAPLE(images)))
    np.testing.assert_array_equal(labels, sitk.GetArrayFromImage(sitk.STAPLE(images, 1.0)) > 0.5)
    assert decided.all()
    assert (labels != majority(masks, np.ones(masks.shape, bool))[0]).any()
