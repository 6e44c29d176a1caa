"""An evaluation as files: metrics.json, cases.csv and a report.html that needs nothing beside it."""

from __future__ import annotations

import json
import math
from pathlib import Path, PureWindowsPath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from napari_deferredseg.io.labels.csv_cells import to_cell
from napari_deferredseg.scoring import calibration, judgement, metrics, system
from napari_deferredseg.scoring.page import page_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pandas as pd

    from napari_deferredseg.scoring.figures import Example
    from napari_deferredseg.scoring.judgement import Judgement

METRICS, CASES, REPORT = "metrics.json", "cases.csv", "report.html"
DEFINITIONS = metrics.DEFINITIONS | system.DEFINITIONS | judgement.DEFINITIONS | calibration.DEFINITIONS


def write_report(
    judged: Judgement,
    folder: Path,
    *,
    title: str = "Evaluation",
    notes: Sequence[str] = (),
    examples: Iterable[Example] = (),
    resamples: int = judgement.RESAMPLES,
) -> Path:
    """Write metrics.json, cases.csv and report.html.

    Parameters
    ----------
    folder : Path
        Made where it is missing; files of these names in it are replaced.
    notes : sequence of str
        What a reader must know beforehand, such as that a reader's vote is part of the reference.
    examples : iterable of Example
        Slices to show.
    resamples : int
        Of the bootstrap.

    Returns
    -------
    Path
        Of report.html.

    Raises
    ------
    OSError
        The folder cannot be written. No half of a file is left in it then.
    """
    intervals = judged.intervals(resamples)
    found = metrics_of(judged, intervals, resamples)
    page = page_of(
        judged,
        intervals,
        resamples,
        title=title,
        notes=notes,
        examples=examples,
        definitions=DEFINITIONS,
        bare=_without_folders(judged.table["case"]),
    )
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(found, indent=1, allow_nan=False, ensure_ascii=False)
    with TemporaryDirectory(dir=folder, prefix=".writing-") as name:
        part = Path(name)
        (part / METRICS).write_text(text, encoding="utf-8")
        _cells(judged.table).to_csv(part / CASES, index=False, lineterminator="\n")
        (part / REPORT).write_text(page, encoding="utf-8")
        for file in (METRICS, CASES, REPORT):
            (part / file).replace(folder / file)
    return folder / REPORT


def _cells(table: pd.DataFrame) -> pd.DataFrame:
    """Table as a CSV may show it: no folders, and no text that is a formula to a spreadsheet."""
    bare = {name: table[name].replace(_without_folders(table[name])) for name in ("case", "patient")}
    return (
        table.assign(**bare)
        .map(lambda value: to_cell(value) if isinstance(value, str) else value)
        .rename(columns=to_cell)
    )


def _without_folders(keys: Iterable[str]) -> dict[str, str]:
    """Last parts of keys that are whole paths, as many as tell them apart: a case without a patient has its image's."""
    paths = {key: PureWindowsPath(key).parts for key in keys if PureWindowsPath(key).root}
    for count in range(1, max(map(len, paths.values()), default=0) + 1):
        short = {key: "/".join(parts[-count:]) for key, parts in paths.items()}
        if len(set(short.values())) == len(short):
            return short
    return {}


def metrics_of(judged: Judgement, intervals: pd.DataFrame, resamples: int) -> dict[str, Any]:
    """Everything but the cases, as plain dictionaries, lists, texts and numbers; None where undefined."""
    settled = judged.settled
    rules = settled.rules
    settings: dict[str, Any] = {
        "budgets": rules.budgets,
        "unit": rules.unit,
        "mode": rules.mode,
        "sigma_mm": rules.sigma_mm,
        "seed": rules.seed,
        "even": rules.even,
        "tolerance_mm": rules.tolerance_mm,
        "resamples": resamples,
    }
    found = {
        "settings": settings,
        "experts": judged.experts,
        "cases": int(judged.table["case"].nunique()),
        "patients": int(judged.table["patient"].nunique()),
        "methods": {m.name: m.says for m in judged.methods},
        "definitions": DEFINITIONS,
        "summary": judged.summary().to_dict("records"),
        "intervals": intervals.to_dict("records"),
        "subgroups": judged.subgroups().to_dict("records"),
        "calibration": judged.calibration.to_dict("records"),
        "aurc": judged.aurc,
        "error_rate": judged.error_rate,
        "chosen": [
            {
                "where": where,
                "budget": budget,
                "threshold": settled.thresholds.get((where, budget)),
                "readers_by_merit": [judged.experts[j] for j in choice.order],
                "prices": dict(zip(judged.experts, choice.prices.tolist(), strict=True)),
            }
            for (where, budget), choice in settled.choices.items()
        ],
    }
    plain: dict[str, Any] = _plain(found)
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
