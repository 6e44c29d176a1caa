from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_deferredseg.scoring.calibration import brier
from napari_deferredseg.scoring.methods import METHODS, Deferral, ReaderTerms, ScoreMaps, composed, dealt, highest
from napari_deferredseg.scoring.system import Scorer

CHOICE = ReaderTerms((1, 0, 2), np.array([0.05, 0.0, 0.1]), np.array([0.1, 0.05, 0.0]))
NUMBERS = st.integers(0, 500)


@given(NUMBERS, st.floats(0, 0.3), st.sampled_from((0.0, 1.5)))
@settings(deadline=None, max_examples=30)
def test_no_method_beats_the_oracle_at_the_same_number_of_voxels(
    make_case, number: int, share: float, sigma: float
) -> None:
    case = make_case(number)
    maps, scorer = ScoreMaps(case, sigma, 0), Scorer(case)
    count = int(share * case.labels.size)
    found = {
        m.name: scorer.dice(maps.deferral(m.who, highest(maps.where(m.where), count), CHOICE))
        for m in METHODS
        if m.where != "none"
    }
    assert max(found.values()) <= found["oracle"] + 1e-12


@given(NUMBERS, st.integers(0, 400))
@settings(deadline=None, max_examples=30)
def test_the_oracle_reader_errs_least_on_the_same_voxels(make_case, number: int, count: int) -> None:
    case = make_case(number)
    maps = ScoreMaps(case, 1.0, 0)
    index = highest(maps.where("entropy"), count)
    errors = {
        who: int((composed(case, maps.deferral(who, index, CHOICE)) != case.truth).sum())
        for who in ("right", "random", "dealt", "best", "gain", "priced")
    }
    assert min(errors.values()) == errors["right"]


@given(NUMBERS, st.permutations(range(3)))
@settings(deadline=None, max_examples=20)
def test_the_order_of_readers_does_not_matter(make_case, number: int, order: list[int]) -> None:
    case = make_case(number)
    turned = replace(case, **{n: getattr(case, n)[order] for n in ("experts", "valid", "gain", "right")})
    maps, other = ScoreMaps(case, 1.0, 0), ScoreMaps(turned, 1.0, 0)
    index = highest(maps.where("router"), 200)
    assert (other.where("oracle") == maps.where("oracle")).all()
    best = ReaderTerms(tuple(order.index(j) for j in CHOICE.order), CHOICE.prices[order])
    for who in ("best", "gain", "right"):
        first, second = maps.deferral(who, index, CHOICE), other.deferral(who, index, best)
        assert (composed(case, first) == composed(turned, second)).mean() > (0.999 if who == "gain" else 0.9999)


def test_composing_by_hand(make_case) -> None:
    case = make_case(0, readers=2)
    deferral = Deferral(np.array([3, 700]), np.array([1, 0]))
    mask = composed(case, deferral)
    expected = case.labels.copy()
    expected[0, 0, 3] = case.experts[1, 0, 0, 3]
    expected[0, 17, 20] = case.experts[0, 0, 17, 20]
    assert (mask == expected).all()
    assert deferral.who_map(case.truth.shape)[0, 17, 20] == 0
    assert (deferral.who_map(case.truth.shape) >= 0).sum() == 2


@pytest.mark.parametrize("method", [m for m in METHODS if m.where != "none"], ids=lambda m: m.name)
def test_absent_readers_are_never_asked(make_case, method) -> None:
    case = make_case(3)
    valid = np.random.default_rng(0).random(case.valid.shape) > 0.5
    case = replace(case, valid=valid)
    maps = ScoreMaps(case, 0.0, 0)
    deferral = maps.deferral(method.who, highest(maps.where(method.where), case.labels.size), CHOICE)
    assert deferral.index.size > 0
    assert valid.reshape(3, -1)[deferral.reader, deferral.index].all()
    if method.where != "oracle":
        assert deferral.index.size == valid.any(axis=0).sum()


@given(arrays(np.float32, st.integers(1, 60), elements=st.sampled_from((-np.inf, 0.0, 0.25, 1.0))), st.integers(0, 70))
def test_highest_takes_as_many_as_asked(score: np.ndarray, count: int) -> None:
    index = highest(score, count)
    assert len(index) == min(count, int((score > -np.inf).sum()))
    assert (np.diff(index) > 0).all()
    rest = np.delete(score, index)
    if len(index) and len(rest):
        assert score[index].min() >= rest.max()


@given(st.integers(1, 6), st.integers(0, 100), NUMBERS)
def test_dealing_gives_equal_shares(readers: int, voxels: int, seed: int) -> None:
    share = np.bincount(dealt(np.ones((readers, voxels), bool), np.random.default_rng(seed)), minlength=readers)
    assert share.max() - share.min() <= 1


def test_what_is_random_depends_on_seed_and_case_alone(make_case) -> None:
    case, other = make_case(1), make_case(2)
    first, again, elsewhere, reseeded = (
        ScoreMaps(case, 1, 5),
        ScoreMaps(case, 1, 5),
        ScoreMaps(other, 1, 5),
        ScoreMaps(case, 1, 6),
    )
    assert (first.where("random") == again.where("random")).all()
    assert (first.where("random") != elsewhere.where("random")).any()
    assert (first.where("random") != reseeded.where("random")).any()


def test_entropy_is_one_where_nothing_is_known(make_case) -> None:
    case = make_case(0)
    for classes in (2, 5):
        flat = np.full((classes, *case.truth.shape), 1 / classes, np.float32)
        assert replace(case, probability=flat).entropy == pytest.approx(1)
    assert brier(case.confidence(case.probability), np.ones_like(case.truth)) < 0.25


def test_figures_of_kept_and_deferred_parts(make_case) -> None:
    case = make_case(8)
    maps, scorer = ScoreMaps(case, 1.0, 0), Scorer(case)
    deferral = maps.deferral("gain", highest(maps.where("entropy"), 150), CHOICE)
    row, mask = scorer.figures(deferral), composed(case, deferral)
    given = deferral.who_map(case.truth.shape) >= 0
    for name, part in (("", np.ones_like(given)), ("kept_", ~given), ("deferred_", given)):
        both = (mask & case.truth).astype(bool)[part].sum()
        assert row[f"{name}dice"] == pytest.approx(2 * both / (mask[part].sum() + case.truth[part].sum()))
        assert row[f"{name}sensitivity"] == pytest.approx(both / case.truth[part].sum())
    assert 1 <= row["regions"] <= row["errands"]


def test_labels_of_any_value_are_judged(make_case) -> None:
    case = make_case(4)
    scale = {"truth": 700, "labels": 700, "experts": 700}
    many = replace(case, **{n: getattr(case, n).astype(np.uint16) * v for n, v in scale.items()})
    deferral = Deferral(np.arange(500, 600), np.zeros(100, np.intp))
    assert Scorer(many).figures(deferral) == pytest.approx(Scorer(case).figures(deferral), nan_ok=True)


def test_a_map_off_the_grid_is_refused(make_case) -> None:
    case = make_case(0)
    with pytest.raises(ValueError, match="defer"):
        replace(case, defer=case.defer[:, :-1])
    with pytest.raises(ValueError, match="finite"):
        replace(case, defer=np.full_like(case.defer, np.nan))
