"""Simulated readers: as often right as their profile says, wrong in patches, the same every time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import ndimage

from napari_deferredseg.io.phantom_cases import make_case
from napari_deferredseg.masks.simulate import PROFILES, ReaderProfile, count_right, read_as, reader_rng, surroundings

SMALL = (4.0, 3.8, 3.8)


@pytest.fixture(scope="module")
def cases():
    return [surroundings(make_case(5, n, "small").truth.array, SMALL) for n in range(6)]


def reading(case, profile, number=0, seed=0):
    return read_as(case, profile, reader_rng(seed, f"case {number}", profile.name))


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_as_often_right_as_declared(cases, profile):
    counts = sum(
        count_right(case, reading(case, profile, 10 * n + again), profile)
        for n, case in enumerate(cases)
        for again in range(8)
    )
    realised = np.divide(*np.transpose(counts))
    np.testing.assert_allclose(realised, (profile.inside, profile.border, profile.outside), atol=0.02)


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_a_median_filter_does_not_beat_them(cases, profile):
    wrong = fixed = 0
    for n, case in enumerate(cases):
        mask, truth = reading(case, profile, n) > 0, case.label > 0
        filtered = ndimage.median_filter(mask.astype(np.uint8), size=3) > 0
        wrong += int(np.count_nonzero(mask != truth))
        fixed += int(np.count_nonzero((mask != truth) & (filtered == truth)))
    assert wrong > 0
    assert fixed < 0.5 * wrong


def test_each_is_strongest_somewhere(cases):
    totals = {
        name: sum(count_right(case, reading(case, profile, n), profile) for n, case in enumerate(cases))
        for name, profile in PROFILES.items()
    }
    shares = {name: np.divide(*np.transpose(counts)) for name, counts in totals.items()}
    for zone, name in enumerate(("inside", "border", "outside")):
        assert max(shares, key=lambda who, zone=zone: shares[who][zone]) == name  # type: ignore[misc]


def test_a_wrong_voxel_becomes_its_nearest_other_value(cases):
    case = cases[0]
    mask = reading(case, PROFILES["all-round"])
    wrong = np.argwhere(mask != case.label)
    for index in np.random.default_rng(0).permutation(wrong)[:25]:
        said, true = mask[tuple(index)], case.label[tuple(index)]
        others = np.argwhere(case.label != true)
        away = np.sqrt((((others - index) * SMALL) ** 2).sum(axis=1))
        nearest = others[away <= away.min() * (1 + 1e-6)]
        assert said in case.label[tuple(nearest.T)]


def test_nobody_sees_an_organ_far_from_all(cases):
    profile = PROFILES["inside"].model_copy(update={"outside": 0.0, "reach_mm": 12.0})
    for case in cases[:2]:
        mask = reading(case, profile)
        away = ndimage.distance_transform_edt(case.label == 0, sampling=SMALL)
        assert not mask[away > 12.01].any()
        assert mask[(away > 5.01) & (away <= 11.99)].all()


def test_another_seed_case_or_reader_errs_elsewhere(cases):
    case, profile = cases[0], PROFILES["all-round"]
    first = reading(case, profile)
    np.testing.assert_array_equal(first, reading(case, profile))
    others = (
        reading(case, profile, seed=1),
        reading(case, profile, number=1),
        reading(case, profile.model_copy(update={"name": "another"})),
    )
    for other in others:
        both = ((first != case.label) & (other != case.label)).sum()
        assert both < 0.5 * (first != case.label).sum()


labels = st.tuples(st.integers(1, 6), st.integers(1, 7), st.integers(1, 8), st.integers(0, 4), st.integers(0, 999))


@settings(max_examples=60, deadline=None)
@given(labels, st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_any_label_map(given_labels, inside, border, outside):
    *shape, top, seed = given_labels
    label = np.random.default_rng(seed).integers(0, top + 1, shape).astype(np.uint16)
    case = surroundings(label, (3.0, 1.0, 1.5))
    profile = ReaderProfile(name="x", inside=inside, border=border, outside=outside)
    mask = reading(case, profile)
    assert (mask.shape, mask.dtype) == (label.shape, label.dtype)
    assert set(np.unique(mask)) <= set(np.unique(label))
    brute = np.array([[np.inf]])
    if len(np.unique(label)) > 1:
        points = np.argwhere(label >= 0) * (3.0, 1.0, 1.5)
        between = np.sqrt(((points[:, None] - points[None]) ** 2).sum(axis=-1))
        between[label.ravel()[:, None] == label.ravel()[None]] = np.inf
        brute = between.min(axis=1).reshape(shape)
    np.testing.assert_allclose(case.distance, np.broadcast_to(brute, shape), rtol=1e-5)


@pytest.mark.parametrize(("share", "wrong"), [(1.0, 0.0), (0.0, 1.0)])
def test_the_perfect_and_the_hopeless(cases, share, wrong):
    profile = ReaderProfile(name="x", inside=share, border=share, outside=share, reach_mm=1e6)
    assert (reading(cases[0], profile) != cases[0].label).mean() == wrong


@pytest.mark.parametrize(
    "change", [{"inside": 1.1}, {"border": -0.1}, {"name": ""}, {"patch_mm": 0}, {"border_mm": -1}]
)
def test_a_profile_that_is_none(change):
    with pytest.raises(ValidationError):
        ReaderProfile.model_validate(PROFILES["inside"].model_dump() | change)
