"""Models made from lists of cases, and judged on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_deferredseg.api.given import each, known_model, path_of, seed_of, text_of, warn
from napari_deferredseg.core.progress import Progress, silent
from napari_deferredseg.scoring.tolerance import TOLERANCE_MM
from napari_deferredseg.usecases import learn

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd

    from napari_deferredseg.api.given import StrPath
    from napari_deferredseg.core.budget import ShareUnit
    from napari_deferredseg.core.datalist import Split


def train_model(
    data: StrPath,
    out: StrPath,
    config: StrPath | None = None,
    *,
    seed: int = 0,
    device: str = "auto",
    progress: Progress = silent,
) -> Path:
    """Train a model folder `out` from a cases file; started again alike, a run that was cut off goes on.

    Raises
    ------
    InputError
        Cases, settings, device or folder cannot be used.
    MissingExtra
        The extra `model` is not installed.
    """
    notes: list[str] = []
    settings = path_of(config) if config is not None else None
    where = text_of(device, "device")
    folder = learn.train_model(path_of(data), path_of(out), settings, seed_of(seed), where, progress, notes.append)
    warn(notes)
    return folder


def evaluate_model(
    model: StrPath,
    data: StrPath,
    out: StrPath | None = None,
    *,
    split: Split = "test",
    budgets: Sequence[str | float] | str | float = (),
    unit: ShareUnit | None = None,
    tolerance_mm: float = TOLERANCE_MM,
    device: str = "auto",
    progress: Progress = silent,
) -> pd.DataFrame:
    """Judge a model against every baseline at the same budgets: one row for each method and budget.

    Parameters
    ----------
    model : str or path
        A folder; or, as `str`, the name of a model that comes with the product.
    data : path
        Cases file, with a validation part, on which thresholds are fixed, and the `split` to judge on.
    out : path, optional
        New folder for metrics.json, cases.csv and report.html.
    budgets : sequence of str or float, or one
        Such as "5%" or 0.05; those of the model by default.
    unit : {"voxels", "predicted-foreground"}, optional
        What a budget is a share of; the model's by default.
    tolerance_mm : float
        How far a surface may be off for the normalised surface Dice, over 0.

    Raises
    ------
    InputError
        As `train_model`; no such unit or split; a part of the cases is empty; `out` holds something already.
    MissingExtra
        As `train_model`.
    """
    notes: list[str] = []
    folder = known_model(model).folder
    table = learn.evaluate_model(
        folder,
        path_of(data),
        path_of(out) if out is not None else None,
        split=split,
        budgets=[str(budget) for budget in each(budgets, "budgets")],
        unit=unit,
        tolerance_mm=tolerance_mm,
        device=text_of(device, "device"),
        progress=progress,
        tell=notes.append,
    )
    warn(notes)
    return table
