"""How far a surface may be off for the normalised surface Dice."""

from numbers import Real

from napari_deferredseg.core.errors import InputError

TOLERANCE_MM = 2.0
"""Where nobody says otherwise."""


def require_tolerance(mm: float) -> None:
    """Raise InputError when a number is no tolerance in mm."""
    if not isinstance(mm, Real) or isinstance(mm, bool):
        raise InputError(f"the tolerance of NSD, {mm!r}, is no number of mm")
    if not 0 < mm < float("inf"):
        raise InputError(f"the tolerance of NSD, {mm:g} mm, must be over 0")
