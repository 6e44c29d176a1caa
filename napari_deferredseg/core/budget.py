"""Budgets: how much of a volume readers may be asked to look at, in which units."""

from __future__ import annotations

import math
import re
from typing import Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from napari_deferredseg.core.errors import InputError

ShareUnit = Literal["predicted-foreground", "voxels"]
Unit = Literal["predicted-foreground", "voxels", "minutes", "regions"]
Mode = Literal["per_volume_share", "fixed_threshold"]

UNITS: tuple[Unit, ...] = get_args(Unit)
SHARES: tuple[ShareUnit, ...] = get_args(ShareUnit)
FORMS = "write for example 10%, 2% of voxels, 30 minutes or 20 regions"

_TEXT = re.compile(r"(?P<amount>[^\s%]+)\s*(?P<percent>%?)\s*(?:of\s+)?(?P<unit>.*)", re.DOTALL)
_WORDS: dict[str, Unit] = {
    "foreground": "predicted-foreground",
    "predicted foreground": "predicted-foreground",
    "all voxels": "voxels",
    "min": "minutes",
    "minute": "minutes",
    "region": "regions",
    **{unit: unit for unit in UNITS},
}


class Budget(BaseModel):
    """An amount and its unit.

    Parameters
    ----------
    amount : float
        A share, over 0 and up to 1, of the voxels the AI gave a label ("predicted-foreground") or of all voxels
        ("voxels"); minutes of reading; or a number of regions.
    unit : str
        One of `UNITS`.
    mode : str
        A share is one of this volume ("per_volume_share"), or what lies over the threshold that a model fixed for that
        share on its validation cases ("fixed_threshold"): more of a hard volume, less of an easy one.
    """

    model_config = ConfigDict(frozen=True)

    amount: float = Field(gt=0, allow_inf_nan=False)
    unit: Unit = "predicted-foreground"
    mode: Mode = "per_volume_share"

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.unit in SHARES and self.amount > 1:
            raise ValueError(f"a share of {self.amount:.0%} is over 100 %")
        if self.unit == "regions" and self.amount != int(self.amount):
            raise ValueError(f"{self.amount} is no whole number of regions")
        if self.unit not in SHARES and self.mode == "fixed_threshold":
            raise ValueError(f"thresholds are fixed for shares, not for {self.unit}")
        return self

    @classmethod
    def parse(
        cls, text: str, unit: str | None = None, mode: Mode = "per_volume_share", otherwise: Unit | None = None
    ) -> Self:
        """Read a budget such as "10%" (of the predicted foreground), "2% of voxels", "30 minutes" or "20 regions".

        With `unit`, one of `UNITS`, the text may be the bare number; a share is then written as 10% or 0.1. Where
        neither says what is counted, `otherwise` does.

        Raises
        ------
        InputError
            It is no positive amount, over 100 %, has no unit or an unknown one, or two that differ.
        """
        found = _TEXT.fullmatch(text.strip())
        if found is None:
            raise InputError(f"the budget is empty; {FORMS}")
        percent = bool(found["percent"])
        named = _unit(found["unit"], text) if found["unit"] else None
        given = _unit(unit, text) if unit is not None else None
        if named and given and named != given:
            raise InputError(f"the budget {text!r} is given in {named}, but the unit says {given}")
        chosen = named or given or otherwise or ("predicted-foreground" if percent else None)
        if chosen is None:
            raise InputError(f"the budget {text!r} has no unit; {FORMS}")
        if percent and chosen not in SHARES:
            raise InputError(f"the budget {text!r} cannot be a percentage of {chosen}; {FORMS}")
        amount = _number(found["amount"], text) / (100 if percent else 1)
        if chosen in SHARES and amount > 1:
            raise InputError(f"the budget {text!r} is {amount:.0%}, more than all of it; write one such as 10% or 0.1")
        if chosen == "regions" and amount != int(amount):
            raise InputError(f"the budget {text!r} is no whole number of regions")
        if chosen not in SHARES and mode == "fixed_threshold":
            raise InputError(f"the budget {text!r} is in {chosen}; a model fixes thresholds for shares only")
        return cls(amount=amount, unit=chosen, mode=mode)

    def __str__(self) -> str:
        if self.unit in SHARES:
            over = " over many volumes" if self.mode == "fixed_threshold" else ""
            return f"{self.amount * 100:g} % of {self.unit.replace('-', ' ')}{over}"
        return f"{self.amount:g} {self.unit}"


DEFAULT_BUDGET = Budget(amount=0.10)
FIXED_SHARES = (0.02, 0.05, 0.10)
"""For which a model fixes thresholds on its validation cases, unless it is told others."""


def _unit(word: str, text: str) -> Unit:
    plain = " ".join(word.casefold().split())
    if plain not in _WORDS:
        raise InputError(f"the budget {text!r} has an unknown unit {word!r}; known ones: {', '.join(UNITS)}")
    return _WORDS[plain]


def _number(word: str, text: str) -> float:
    try:
        amount = float(word)
    except ValueError:
        raise InputError(f"the budget {text!r} is no number; {FORMS}") from None
    if not math.isfinite(amount) or amount <= 0:
        raise InputError(f"the budget {text!r} must be more than 0; {FORMS}")
    return amount
