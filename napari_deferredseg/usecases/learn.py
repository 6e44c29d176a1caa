"""Train a deferral model from a list of cases, and judge one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_deferredseg.core.budget import SHARES
from napari_deferredseg.core.datalist import SPLITS
from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.progress import Progress, Tell, silent, unsaid
from napari_deferredseg.io.datalist import read_datalist
from napari_deferredseg.scoring.tolerance import TOLERANCE_MM, require_tolerance
from napari_deferredseg.store.files import remedy
from napari_deferredseg.usecases.extras import require_model

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd

    from napari_deferredseg.core.budget import ShareUnit
    from napari_deferredseg.core.datalist import Datalist, Split


def train_model(
    data: Path,
    out: Path,
    config: Path | None = None,
    seed: int = 0,
    device: str = "auto",
    progress: Progress = silent,
    tell: Tell = unsaid,
) -> Path:
    """Train a model folder `out` from a cases file; started again alike, a run that was cut off goes on.

    What was decided in reading the files, such as the order of a mask's voxels, goes to `tell`.

    Raises
    ------
    InputError
        Cases, configuration, device or folder cannot be used.
    MissingExtra
        The extra `model` is not installed.
    """
    require_model()
    from napari_deferredseg.deferral.data.devices import pick
    from napari_deferredseg.deferral.data.train_settings import read_config
    from napari_deferredseg.deferral.training.train import train

    settings, datalist = read_config(config), read_datalist(data)
    return train(datalist, out, settings, seed=seed, device=pick(device), progress=progress, tell=tell)


def unfinished(out: Path) -> Path | None:
    """Folder where a training of `out` that was cut off left what it had done; None where there is none."""
    from napari_deferredseg.deferral.training.workplace import WORK

    return out / WORK if (out / WORK).is_dir() else None


def evaluate_model(
    model: Path,
    data: Path,
    out: Path | None = None,
    *,
    split: Split = "test",
    budgets: Sequence[str] = (),
    unit: ShareUnit | None = None,
    tolerance_mm: float = TOLERANCE_MM,
    device: str = "auto",
    progress: Progress = silent,
    tell: Tell = unsaid,
) -> pd.DataFrame:
    """Judge a model on a part of a cases file.

    Parameters
    ----------
    out : Path, optional
        New folder that metrics.json, cases.csv and report.html are written into; the table alone where none is given.
    budgets : sequence of str
        Such as "5%"; those of the model by default.
    unit : str, optional
        "voxels" or "predicted-foreground"; the model's by default.
    tolerance_mm : float
        How far a surface may be off for NSD, over 0.

    Returns
    -------
    DataFrame
        One row for each method and budget.

    Raises
    ------
    InputError
        As `train_model`; no such unit or split; `out` holds other files or cannot be written; or the tolerance is none.
    MissingExtra
        As `train_model`.
    """
    require_model()
    require_tolerance(tolerance_mm)
    if split not in SPLITS:
        raise InputError(f"there is no part {split!r} of the cases: choose one of {', '.join(SPLITS)}")
    if unit is not None and unit not in SHARES:
        raise InputError(f"a budget is no share of {unit!r}: choose one of {', '.join(SHARES)}")
    from napari_deferredseg.deferral.data.devices import pick
    from napari_deferredseg.deferral.evaluation.evaluate import evaluate
    from napari_deferredseg.deferral.model.model import load_model
    from napari_deferredseg.scoring.report import write_report

    loaded = load_model(model)
    policy = loaded.spec.config.policy
    shares = [_share(text) for text in budgets] or list(policy.budgets)
    unit = unit or policy.unit
    datalist = read_datalist(data)
    if out is not None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} exists and is not empty: give a new folder for the report")
    judged, examples = evaluate(
        loaded,
        datalist,
        split,
        shares,
        unit or policy.unit,
        tolerance_mm=tolerance_mm,
        device=pick(device),
        progress=lambda s, d: progress(s * 0.95, d),
        tell=tell,
    )
    if out is not None:
        progress(0.95, "writing the report")
        notes = _notes(datalist, loaded.spec.config.data.consensus)
        title = f"{loaded.spec.name} on {split} cases"
        try:
            write_report(judged, out, title=title, notes=notes, examples=examples)
        except OSError as error:
            why = error.strerror or error
            raise InputError(f"{out}: the report cannot be written ({why}); {remedy(error)}, then try again") from error
    progress(1.0, "done")
    return judged.summary()


def _notes(datalist: Datalist, consensus: str) -> list[str]:
    """What a reader of the report must know of the reference."""
    if all(case.label is not None for case in (*datalist.validation, *datalist.test)):
        return []
    without = "Reference where a case has no label"
    if consensus == "leave-one-out":
        return [f"{without}: the majority of the readers; each reader is judged by the others'."]
    return [
        f"{without}: the readers' consensus ({consensus}). A reader's own vote is a part of it, so their figures are "
        "better than on an independent reference."
    ]


def _share(text: str) -> float:
    """Read "5%" or "0.05"."""
    plain = text.strip()
    try:
        value = float(plain.removesuffix("%")) / (100 if plain.endswith("%") else 1)
    except ValueError:
        raise InputError(f"the budget {text!r} is no share; write for example 5%") from None
    if not 0 < value <= 1:
        raise InputError(f"the budget {text!r} must be over 0 and up to 100%; write for example 5%")
    return value
