from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from napari_deferredseg.core.budget import UNITS, Budget
from napari_deferredseg.core.errors import InputError


@pytest.mark.parametrize(
    ("text", "unit", "amount", "expected"),
    [
        ("10%", None, 0.1, "predicted-foreground"),
        (" 2.5 % of voxels", None, 0.025, "voxels"),
        ("10% of foreground", None, 0.1, "predicted-foreground"),
        ("100% of Predicted Foreground", None, 1, "predicted-foreground"),
        ("30 minutes", None, 30, "minutes"),
        ("30 min", "minutes", 30, "minutes"),
        ("20 regions", None, 20, "regions"),
        ("20", "regions", 20, "regions"),
        ("0.1", "voxels", 0.1, "voxels"),
        ("1e1%", "voxels", 0.1, "voxels"),
    ],
)
def test_reads_what_people_write(text, unit, amount, expected):
    budget = Budget.parse(text, unit)
    assert budget.amount == pytest.approx(amount)
    assert budget.unit == expected


@pytest.mark.parametrize(
    ("text", "otherwise", "amount", "expected"),
    [
        ("0.1", "voxels", 0.1, "voxels"),
        ("10%", "voxels", 0.1, "voxels"),
        ("20", "regions", 20, "regions"),
        ("20 regions", "voxels", 20, "regions"),
    ],
)
def test_what_is_counted_where_nobody_says_so(text, otherwise, amount, expected):
    budget = Budget.parse(text, otherwise=otherwise)
    assert (budget.amount, budget.unit) == (pytest.approx(amount), expected)


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("", None),
        ("lots", None),
        ("0%", None),
        ("-5%", None),
        ("nan%", None),
        ("inf minutes", None),
        ("101%", None),
        ("10", None),
        ("10", "voxels"),
        ("10", "furlongs"),
        ("10% of organs", None),
        ("10% of voxels", "regions"),
        ("50%", "minutes"),
        ("2.5 regions", None),
    ],
)
def test_refuses_nonsense_in_one_line(text, unit):
    with pytest.raises(InputError) as error:
        Budget.parse(text, unit)
    assert "\n" not in str(error.value)
    assert "budget" in str(error.value)


@given(st.sampled_from(UNITS), st.integers(1, 100))
def test_what_it_prints_can_be_read_again(unit, number):
    budget = Budget(amount=number if unit in ("minutes", "regions") else number / 100, unit=unit)
    again = Budget.parse(str(budget))
    assert again.unit == unit
    assert again.amount == pytest.approx(budget.amount)


@pytest.mark.parametrize(("amount", "unit"), [(1.5, "voxels"), (0, "minutes"), (2.5, "regions"), (1, "days")])
def test_cannot_be_built_wrong(amount, unit):
    with pytest.raises(ValidationError):
        Budget(amount=amount, unit=unit)


@pytest.mark.parametrize("text", ["30 minutes", "20 regions"])
def test_only_shares_have_thresholds(text):
    with pytest.raises(InputError, match="shares only"):
        Budget.parse(text, mode="fixed_threshold")
    assert Budget.parse("5%", mode="fixed_threshold").mode == "fixed_threshold"
