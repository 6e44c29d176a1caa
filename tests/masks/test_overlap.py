from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_deferredseg.core.boxes import bounding_box, slices, within
from napari_deferredseg.core.geometry import Geometry
from napari_deferredseg.core.records import Correction, Region, Verdict
from napari_deferredseg.masks.overlap import compose, compose_box, support_of

SHAPE = (4, 9, 10)
GEOMETRY = Geometry(shape=SHAPE, spacing=(1.0, 1.0, 2.5))
START = datetime(2026, 1, 1, tzinfo=UTC)
WHOLE = ((0, 4), (0, 9), (0, 10))


def region(mask, name="r"):
    box = bounding_box(mask)
    return Region(
        id=name,
        case_key="c",
        prediction_id="p",
        number=1,
        labels=(1,),
        box=box,
        mask=mask[slices(box)].copy(),
        volume=1.0,
        center=(0, 0, 0),
        gain=0.5,
        minutes=1.0,
    )


def correction(region, before, after, minute=0, name="a", verdict=Verdict.EDITED, supersedes=None):
    box, support = support_of(region, WHOLE, before, after, GEOMETRY, 1.5)
    return Correction(
        id=name,
        region_id=region.id,
        case_key="c",
        reader="ann",
        model_id="m",
        voxel_hash="h",
        started=START,
        submitted=START + timedelta(minutes=minute),
        active_seconds=1,
        verdict=verdict,
        box=box,
        before=before[slices(box)],
        after=after[slices(box)],
        support=support,
        supersedes=supersedes,
    )


def block(z, y, x):
    mask = np.zeros(SHAPE, bool)
    mask[z[0] : z[1], y[0] : y[1], x[0] : x[1]] = True
    return mask


@st.composite
def blocks(draw):
    spans = []
    for n in SHAPE:
        low = draw(st.integers(0, n - 1))
        spans.append((low, draw(st.integers(low + 1, n))))
    return block(*spans)


@st.composite
def readings(draw):
    """Several corrections of overlapping regions, each of the labels that the AI left."""
    labels = draw(st.integers(0, 2**32 - 1).map(lambda s: np.random.default_rng(s).integers(0, 3, SHAPE, np.uint8)))
    regions, corrections = {}, []
    for i in range(draw(st.integers(0, 4))):
        r = region(draw(blocks()), f"r{i}")
        after = labels.copy()
        after[draw(blocks())] = draw(st.integers(0, 5))
        regions[r.id] = r
        corrections.append(correction(r, labels, after, draw(st.integers(0, 2)), f"c{i}"))
    return labels, regions, corrections


@settings(max_examples=50, deadline=None)
@given(readings(), st.randoms())
def test_each_voxel_follows_the_rule_whatever_the_order(case, random):
    labels, regions, corrections = case
    original = labels.copy()
    result = compose(labels, random.sample(corrections, len(corrections)), regions)
    np.testing.assert_array_equal(labels, original)
    expected = labels.copy()
    best: dict[Any, Any] = {}
    for c in corrections:
        own = np.zeros(SHAPE, bool)
        own[slices(regions[c.region_id].box)] = regions[c.region_id].mask
        (z, *_), (y, *_), (x, *_) = c.box
        for i in zip(*np.nonzero(c.support), strict=True):
            at = (i[0] + z, i[1] + y, i[2] + x)
            tier = 3 if own[at] else 2 if c.before[i] != c.after[i] else 1
            rank = (tier, c.submitted, c.id)
            if rank > best.get(at, (0,)):
                best[at] = rank
                expected[at] = c.after[i]
    np.testing.assert_array_equal(result, expected)
    assert result.dtype == labels.dtype


@settings(max_examples=30, deadline=None)
@given(readings(), blocks())
def test_a_box_of_it_is_the_same_as_all_of_it(case, where):
    labels, regions, corrections = case
    box = bounding_box(where)
    part = compose_box(labels, corrections, regions, box)
    np.testing.assert_array_equal(part, compose(labels, corrections, regions)[slices(box)])
    assert not np.shares_memory(part, labels)


def test_an_amended_correction_is_left_out():
    labels = np.zeros(SHAPE, np.uint8)
    r = region(block((1, 2), (2, 5), (2, 5)))
    wrong, right = labels.copy(), labels.copy()
    wrong[1, 3, 3:9] = 2
    right[1, 3, 3] = 3
    first = correction(r, labels, wrong, name="a")
    second = correction(r, labels, right, minute=1, name="b", supersedes="a")
    np.testing.assert_array_equal(compose(labels, [first, second], {"r": r}), right)


def test_accepting_a_region_keeps_it_from_another_readers_later_margin_stroke():
    labels = np.ones(SHAPE, np.uint8)
    mine, theirs = region(block((1, 2), (2, 5), (2, 5)), "mine"), region(block((1, 2), (2, 5), (5, 8)), "theirs")
    accepted = correction(mine, labels, labels, name="a", verdict=Verdict.INDETERMINATE)
    edited = labels.copy()
    edited[1, 3, 3:7] = 4
    later = correction(theirs, labels, edited, minute=5, name="b")
    result = compose(labels, [accepted, later], {"mine": mine, "theirs": theirs})
    assert result[1, 3, 3:7].tolist() == [1, 1, 4, 4]


def test_a_label_beyond_the_ai_s_type_widens_the_result():
    labels = np.zeros(SHAPE, np.uint8)
    r = region(block((1, 2), (2, 5), (2, 5)))
    after = labels.astype(np.uint16)
    after[1, 3, 3] = 400
    assert compose(labels, [correction(r, labels, after)], {"r": r})[1, 3, 3] == 400


def test_an_unknown_region_is_an_error():
    labels = np.zeros(SHAPE, np.uint8)
    r = region(block((1, 2), (2, 5), (2, 5)))
    with pytest.raises(KeyError):
        compose(labels, [correction(r, labels, labels)], {})


@settings(max_examples=50, deadline=None)
@given(blocks(), blocks(), st.floats(0, 6))
def test_support_is_the_physical_margin_and_every_change(own, painted, margin):
    before = np.zeros(SHAPE, np.uint8)
    after = painted.astype(np.uint8)
    box, support = support_of(region(own), WHOLE, before, after, GEOMETRY, margin)
    full = np.zeros(SHAPE, bool)
    full[slices(box)] = support
    points = np.argwhere(own) * GEOMETRY.spacing_zyx
    for index in np.ndindex(SHAPE):
        distance = np.sqrt(((points - np.array(index) * GEOMETRY.spacing_zyx) ** 2).sum(axis=1)).min()
        if abs(distance - margin) > 1e-5:
            assert full[index] == (distance < margin or painted[index])


def test_a_crop_need_not_hold_the_region():
    r = region(block((1, 3), (2, 5), (2, 5)))
    crop = ((3, 4), (7, 9), (7, 10))
    before = np.zeros((1, 2, 3), np.uint8)
    after = before.copy()
    after[0, 1, 2] = 1
    box, support = support_of(r, crop, before, after, GEOMETRY, 0)
    assert support.sum() == r.mask.sum() + 1
    assert support[within(crop, box)].sum() == 1
