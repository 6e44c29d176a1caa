from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax

from napari_deferredseg.deferral.model.maps import ModelMaps
from napari_deferredseg.deferral.model.policy import BudgetPolicy, Policy, Trial

GRID = (2, 5, 6)


def maps_of(seed, classes=3, experts=3):
    rng = np.random.default_rng(seed)
    raw = softmax(rng.normal(0, 2, (classes, *GRID)), axis=0).astype(np.float32)
    agents = (experts + 1, *GRID)
    return ModelMaps(
        probability=raw,
        competence=rng.random(agents).astype(np.float32),
        shares=softmax(rng.normal(size=agents), axis=0).astype(np.float32),
        learned_defer=rng.random(GRID).astype(np.float32),
    )


records = st.lists(st.floats(0, 1), min_size=3, max_size=3).map(tuple)
weights = st.floats(0, 1)


@given(seed=st.integers(0, 10_000), record=records)
def test_without_learned_parts_it_is_entropy_and_the_best_single_reader(seed, record):
    maps, policy = maps_of(seed), Policy(record=record)
    gain = policy.gain(maps)
    defer = policy.defer(maps, gain)
    assert policy.fell_back
    assert np.array_equal(defer, maps.entropy)
    best = max(record)
    won = np.asarray(record)[gain.argmax(axis=0)]
    assert np.allclose(won, best, atol=1e-6)
    assert np.allclose(gain, np.reshape(record, (3, 1, 1, 1)) - maps.competence[0], atol=1e-6)


@given(seed=st.integers(0, 10_000), record=records, where=weights, who=weights, data=st.data())
def test_a_mixture_lies_between_its_parts(seed, record, where, who, data):
    maps = maps_of(seed)
    source = data.draw(st.sampled_from(("competence", "shares")))
    place = data.draw(st.sampled_from(("gain", "aggregated")))
    mixed, plain, learned = (
        Policy(record=record, who=source, who_weight=w, where=place, where_weight=v)
        for w, v in ((who, where), (0, 0), (1, 1))
    )
    gains = [p.gain(maps) for p in (mixed, plain, learned)]
    assert np.allclose(gains[0], (1 - who) * gains[1] + who * gains[2], atol=1e-5)
    assert (np.abs(gains[0]) <= 1 + 1e-6).all()
    defer = mixed.defer(maps, gains[0])
    ends = [maps.entropy, learned.defer(maps, gains[0])]
    assert np.allclose(defer, (1 - where) * ends[0] + where * ends[1], atol=1e-5)
    assert ((defer >= 0) & (defer <= 1 + 1e-6)).all()
    assert defer.dtype == gains[0].dtype == np.float32


@given(seed=st.integers(0, 10_000))
def test_fully_learned_it_does_not_know_the_record(seed):
    maps = maps_of(seed)
    gains = [Policy(record=r, who_weight=1).gain(maps) for r in ((0.1, 0.2, 0.9), (0.9, 0.2, 0.1))]
    assert np.array_equal(*gains)  # type: ignore[arg-type]
    assert np.allclose(gains[0], maps.competence[1:] - maps.competence[:1])


@pytest.mark.parametrize("threshold", [0.25, float("inf")])
def test_a_policy_survives_its_file_even_where_nothing_can_be_deferred(threshold):
    policy = Policy(
        record=(0.5, 0.25),
        budgets=(BudgetPolicy(budget=0.05, threshold=threshold, prices=(0.0, 0.125), best="Ada"),),
        trials=(Trial(name="who: shares 1", difference=0.0, standard_error=float("inf")),),
    )
    text = policy.model_dump_json()
    assert Policy.model_validate(json.loads(text)) == policy
