"""How many voxels a file may claim: told from its header, before anything is unpacked."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING

from napari_deferredseg.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SETTING = "DEFERREDSEG_VOXELS_GIB"
DEFAULT_GIB = 16.0
GIB = 1 << 30


def most_bytes() -> int:
    """Bytes of voxels that one image may have: 16 GiB, or as many GiB as the environment says.

    Raises
    ------
    InputError
        The environment does not give a positive number.
    """
    text = os.environ.get(SETTING, "").strip()
    try:
        gib = float(text) if text else DEFAULT_GIB
    except ValueError:
        gib = math.nan
    if not (math.isfinite(gib) and gib > 0):
        raise InputError(f"{SETTING}={text!r} is no number of gibibytes; write for example 32")
    return int(gib * GIB)


def require_fits(path: Path | str, shape: Sequence[int], itemsize: int) -> None:
    """Check that the voxels that a header claims may be unpacked.

    Parameters
    ----------
    path : Path
        The file, for the message.
    shape : sequence of int
        All axes, components included.
    itemsize : int
        Bytes of one value as it is kept in memory.

    Raises
    ------
    InputError
        They are larger than `most_bytes`.
    """
    claimed, most = math.prod(int(n) for n in shape) * itemsize, most_bytes()
    if claimed > most:
        size = " x ".join(str(int(n)) for n in shape)
        raise InputError(
            f"{path}: claims {size} voxels, {claimed / GIB:,.1f} GiB, more than the {most / GIB:.4g} GiB that may be "
            f"unpacked; if that is right, set {SETTING} to a larger number"
        )
