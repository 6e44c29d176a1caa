from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_deferredseg.scoring.prices import even_prices, shares


@given(st.integers(0, 10_000), st.integers(2, 7), st.floats(0, 3))
@settings(max_examples=30, deadline=None)
def test_prices_make_shares_as_even_as_asked(seed: int, readers: int, lead: float) -> None:
    rng = np.random.default_rng(seed)
    gain = (rng.normal(size=(readers, 4_000)) * 0.1).astype(np.float32)
    gain[0] += np.float32(0.1 * lead)
    share = shares(gain, even_prices(gain, ratio=1.3))
    assert share.sum() == pytest.approx(1)
    assert share.max() / share.min() <= 1.3


def test_prices_reach_targets_on_fresh_voxels() -> None:
    rng = np.random.default_rng(0)
    gain = rng.normal((0.1, 0, -0.1), 0.2, (20_000, 3)).astype(np.float32).T
    aim = np.array([0.2, 0.5, 0.3])
    prices = even_prices(gain[:, :10_000], ratio=1.02, targets=aim)
    assert shares(gain[:, 10_000:], prices) == pytest.approx(aim, abs=0.02)


def test_even_readers_cost_nothing() -> None:
    gain = np.eye(3, dtype=np.float32).repeat(10, axis=1)
    assert even_prices(gain).tolist() == [0, 0, 0]


def test_prices_lose_less_gain_than_dealing_at_random() -> None:
    rng = np.random.default_rng(3)
    gain = rng.normal((0.2, 0, 0), 0.1, (9_000, 3)).astype(np.float32).T
    winner = (gain - even_prices(gain, ratio=1.01)[:, None]).argmax(axis=0)
    assert gain[winner, np.arange(9_000)].mean() > gain.mean() + 0.05


def test_an_absent_reader_gets_nothing_where_they_do_not_answer() -> None:
    rng = np.random.default_rng(4)
    gain = rng.normal(0, 0.1, (3, 3_000)).astype(np.float32)
    gain[2, 150:] = -np.inf
    prices = even_prices(gain)
    winner = (gain - prices[:, None]).argmax(axis=0)
    assert np.isfinite(prices).all()
    assert (winner[150:] != 2).all()
    assert shares(gain, prices)[2] >= 0.04


def test_targets_that_are_no_shares_are_refused() -> None:
    with pytest.raises(ValueError, match="sum to 1"):
        even_prices(np.zeros((2, 3), np.float32), targets=np.array([0.5, 0.6]))
