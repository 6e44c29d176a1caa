"""What is sent of a tangled part is whole on every slice, in whichever plane a volume was acquired."""

from __future__ import annotations

import cc3d
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_deferredseg.core.boxes import slices
from napari_deferredseg.core.budget import Budget
from napari_deferredseg.core.geometry import Geometry
from napari_deferredseg.core.prediction import Prediction
from napari_deferredseg.core.volume import LabelTable
from napari_deferredseg.routing.acquired import Acquired, slice_axis
from napari_deferredseg.routing.effort import estimated_minutes
from napari_deferredseg.routing.plates import PLATE_MINUTES
from napari_deferredseg.routing.regions import make_regions

AXES = (0, 1, 2)


def predicted(labels, other, axis, spacing, defer=None):
    """Masks with slices along the first axis, stored with them along another."""
    order = np.argsort((axis, *(a for a in AXES if a != axis)))
    labels, other = (np.asarray(mask, np.uint8).transpose(order) for mask in (labels, other))
    geometry = Geometry(shape=labels.shape, spacing=tuple(spacing[a] for a in order)[::-1])
    votes = 1 if defer is None else 0
    defer = labels != other if defer is None else np.asarray(defer).transpose(order)
    return Prediction(labels, defer.astype(np.float32), other, geometry, LabelTable(), "m", votes=votes)


def sent_by(prediction, budget):
    found = make_regions(prediction, "case", "run", budget, sigma_mm=1.0)
    sent = np.zeros(prediction.labels.shape, bool)
    for region in found.regions:
        sent[slices(region.box)] |= region.mask
    return found, sent


def cut_pieces(prediction, sent):
    """What is connected on a slice, of one pair of labels, and is sent in part: masks in the file's order."""
    acquired = Acquired.of(prediction.geometry)
    pairs = (prediction.labels.astype(np.uint32) << 8 | prediction.alternative) * (prediction.defer > 0)
    cut = []
    for z, (codes, here) in enumerate(zip(acquired.array(pairs), acquired.array(sent), strict=True)):
        ids = cc3d.connected_components(np.ascontiguousarray(codes), connectivity=8)
        for number in np.unique(ids[here]):
            if not here[ids == number].all():
                cut.append(np.zeros_like(sent))
                acquired.array(cut[-1])[z] = ids == number
    return cut


def reading(piece, geometry):
    return estimated_minutes(piece, geometry)


def room_for(piece, found, sent, p, budget):
    """Whether the budget has room for the whole of what is sent in part."""
    if budget.unit == "voxels":
        return (sent | piece).sum() <= budget.amount * p.labels.size
    minutes = sum(region.minutes for region in found.regions)
    for region in found.regions:
        mask = np.zeros(sent.shape, bool)
        mask[slices(region.box)] = region.mask
        if (mask & piece).any():
            minutes += estimated_minutes(mask | piece, p.geometry) - region.minutes
    return minutes <= budget.amount


@st.composite
def tangles(draw):
    """An organ with a ragged border, and false and missing lumps."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    axis, thick = draw(st.sampled_from(AXES)), draw(st.sampled_from([2.0, 5.0]))
    shape = (int(30 / thick), 32, 40)
    z, y, x = np.ogrid[tuple(slice(-1, 1, n * 1j) for n in shape)]
    away = np.sqrt(z**2 + y**2 + x**2)
    field = ndimage.gaussian_filter(rng.normal(size=shape), (4 / thick, draw(st.sampled_from([1, 3])), 3))
    labels = away < 0.7
    other = away + draw(st.sampled_from([0.1, 0.3])) * field / field.std() < 0.7
    second = draw(st.sampled_from([1, 2]))
    return predicted(labels, other * np.where(x > 0, 1, second), axis, (thick, 1.0, 1.0))


LADDERS = (
    [Budget(amount=a, unit="voxels") for a in (0.0005, 0.005, 0.01, 0.02, 0.05, 1.0)],
    [Budget(amount=a, unit="minutes") for a in (0.5, 0.7, 1, 2, 4, 60)],
    [Budget(amount=a, unit="regions") for a in (1, 2, 3, 90)],
)


@settings(max_examples=12, deadline=None)
@given(tangles(), st.sampled_from(LADDERS))
def test_what_is_connected_on_a_slice_is_sent_whole_or_not_at_all(p, ladder):
    before = np.zeros(p.labels.shape, bool)
    for budget in ladder:
        found, sent = sent_by(p, budget)
        assert not (before & ~sent).any()
        before = sent
        cut = [piece for piece in cut_pieces(p, sent) if reading(piece, p.geometry) <= PLATE_MINUTES]
        assert len(cut) <= (budget.unit != "regions")
        for piece in cut:
            assert not room_for(piece, found, sent, p, budget)
            if budget.unit == "voxels":  # without it less than half of the budget would be spent
                assert piece.sum() > (sent & ~piece).sum()
            assert "within a slice" in str(found.account)
        if not cut_pieces(p, sent):
            assert "within a slice" not in str(found.account)
    assert (before == (p.labels != p.alternative)).all() or ladder[0].unit == "minutes"


@settings(max_examples=5, deadline=None)
@given(tangles(), st.sampled_from([Budget(amount=2, unit="minutes"), Budget(amount=2, unit="regions")]))
def test_a_map_s_tangles_are_whole_on_each_slice_too(p, budget):
    differs = p.labels != p.alternative
    flat = predicted(np.ones_like(differs), np.zeros_like(differs), 0, (5.0, 1.0, 1.0), defer=differs)
    map_ = flat.__class__(flat.labels, differs.astype(np.float32), flat.alternative, p.geometry, flat.table, "m")
    found = make_regions(map_, "case", "run", budget, sigma_mm=0.0)
    sent = np.zeros(differs.shape, bool)
    for region in found.regions:
        sent[slices(region.box)] |= region.mask
    assert len([c for c in cut_pieces(map_, sent) if reading(c, p.geometry) <= PLATE_MINUTES]) <= 1


@settings(max_examples=5, deadline=None)
@given(st.data())
def test_how_a_volume_is_stored_changes_nothing(data):
    p = data.draw(tangles())
    grid = Acquired.of(p.geometry)
    labels, other = grid.array(p.labels), grid.array(p.alternative)
    budget = data.draw(st.sampled_from([Budget(amount=3, unit="minutes"), Budget(amount=0.01, unit="voxels")]))
    whole = [predicted(labels, other, axis, grid.geometry.spacing_zyx) for axis in AXES]
    there = [sent_by(q, budget) for q in whole]
    turned = [Acquired.of(q.geometry).array(sent) for q, (_, sent) in zip(whole, there, strict=True)]
    assert (turned[0] == turned[1]).all()
    assert (turned[0] == turned[2]).all()
    assert len({round(sum(r.minutes for r in found.regions), 6) for found, _ in there}) == 1


@pytest.mark.parametrize(
    ("shape", "spacing_zyx", "axis"),
    [
        ((30, 40, 50), (5, 1, 1), 0),
        ((40, 30, 50), (1, 5, 1), 1),
        ((40, 50, 30), (1, 1, 5), 2),
        ((40, 40, 40), (1, 1, 1), 0),
        ((40, 40, 40), (1, 1, 1.1), 0),
        ((40, 40, 40), (1, 3, 3), 0),
        ((40, 40, 1), (1, 1, 1), 2),
        ((1, 40, 40), (1, 5, 1), 0),
    ],
)
def test_slices_lie_across_the_coarse_axis_else_the_first(shape, spacing_zyx, axis):
    assert slice_axis(Geometry(shape=shape, spacing=spacing_zyx[::-1])) == axis


def test_a_region_takes_as_long_however_it_is_stored():
    mask = np.zeros((6, 20, 30), bool)
    mask[1:5, 4:14, 3:20] = True
    minutes = set()
    for axis in AXES:
        order = np.argsort((axis, *(a for a in AXES if a != axis)))
        grid = Geometry(shape=mask.transpose(order).shape, spacing=tuple((5.0, 1.0, 0.8)[a] for a in order)[::-1])
        minutes.add(round(estimated_minutes(mask.transpose(order), grid), 9))
    assert len(minutes) == 1


def test_a_budget_too_small_for_one_slice_ends_at_a_neck():
    labels = np.zeros((1, 60, 200))
    y, x = np.ogrid[:60, :200]
    for middle, radius in ((40, 24), (100, 18), (160, 24)):
        labels[0][np.hypot(y - 30, x - middle) < radius] = 1
    labels[0, 28:32, 40:160] = 1
    p = predicted(labels, labels * 0, 0, (1.0, 1.0, 1.0))
    for share in (0.5, 0.75):
        found, sent = sent_by(p, Budget(amount=share, unit="predicted-foreground"))
        edge = sent & ndimage.binary_dilation(labels.astype(bool) & ~sent, np.ones((1, 3, 3)))  # type: ignore[arg-type]
        assert 0 < edge.sum() <= 12
        assert ndimage.label(sent, np.ones((3, 3, 3)))[1] == 1
        assert "within a slice" in str(found.account)


def test_a_slice_that_takes_too_long_for_one_region_is_parted_and_said_to_be():
    labels = np.zeros((1, 160, 200))
    labels[0, ::4, :] = 1
    labels[0, :, :2] = 1
    p = predicted(labels, labels * 0, 0, (1.0, 1.0, 1.0))
    found, sent = sent_by(p, Budget(amount=1.0))
    assert (sent == labels.astype(bool)).all()
    assert max(region.minutes for region in found.regions) <= PLATE_MINUTES + 0.1
    assert "within a slice" in str(found.account)


@pytest.mark.parametrize("seed", range(4))
def test_every_region_that_ends_within_a_slice_is_named(seed):
    """Crumbs of a slice that was cut within are in the nearest piece, which may be on another slice."""
    rng = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(rng.normal(size=(3, 25, 50)), 2)
    labels = field > 0.3 * field.std()
    p = predicted(labels, ndimage.binary_dilation(labels), 0, (20.0, 20.0, 20.0))
    found, sent = sent_by(p, Budget(amount=6, unit="minutes"))
    named = np.zeros(sent.shape, bool)
    for region in found.regions:
        if region.number in found.account.within:
            named[slices(region.box)] |= region.mask
    for piece in cut_pieces(p, sent):
        assert (named & piece).any()
