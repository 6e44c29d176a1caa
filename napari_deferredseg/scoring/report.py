"""An evaluation as files: metrics.json, cases.csv and a report.html that needs nothing beside it."""

from __future__ import annotations

import html
import json
import math
from pathlib import PureWindowsPath
from typing import TYPE_CHECKING, Any

from napari_deferredseg.core.names import visible
from napari_deferredseg.io.labels.csv_cells import to_cell
from napari_deferredseg.scoring import calibration, figures, judgement, metrics, system
from napari_deferredseg.scoring.judgement import GROUP, SHARE
from napari_deferredseg.scoring.methods import BEST

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    import pandas as pd

    from napari_deferredseg.scoring.figures import Example
    from napari_deferredseg.scoring.judgement import Judgement

DEFINITIONS = metrics.DEFINITIONS | system.DEFINITIONS | judgement.DEFINITIONS | calibration.DEFINITIONS

COLUMNS = {
    "realised": "Realised",
    "dice": "Dice",
    "over_best": "over best",
    "headroom": "Headroom",
    "remaining": "Remaining",
    "iou": "IoU",
    "sensitivity": "Sens.",
    "hd95": "HD95",
    "kept_dice": "Dice kept",
    "deferred_dice": "Dice deferred",
    "regions": "Regions",
    "errands": "Errands",
    "max_min_share": "max/min",
}
FORMATS = {"realised": ".2%", "hd95": ".2f", "regions": ".1f", "errands": ".1f", "max_min_share": ".2f"}
WITH_INTERVAL = ("dice", "over_best", "headroom")

CSS = """
:root{color-scheme:light}body{font:16px/1.55 system-ui,"Segoe UI",Helvetica,Arial,sans-serif;color:#22303c;
background:#fff;max-width:76rem;margin:3rem auto;padding:0 1.5rem}h1{font-size:1.9rem;line-height:1.2;margin:0 0 .3rem}
h2{font-size:1.25rem;margin:2.8rem 0 .6rem}h3{font-size:1rem;margin:1.6rem 0 .3rem}p{max-width:48rem}
.lead,.note,figcaption{color:#5b6b78}.note,figcaption{font-size:.86rem}.scroll{overflow-x:auto}
table{border-collapse:collapse;font-size:.86rem;font-variant-numeric:tabular-nums;margin:.6rem 0}
th,td{padding:.32rem .7rem;text-align:right;white-space:nowrap}th:first-child,td:first-child{text-align:left}
thead th{border-bottom:1.5px solid #22303c;font-weight:600}tbody tr{border-bottom:1px solid #eceff1}
tr.base td{background:#f5f7f8;font-weight:600}tr.bound td{color:#8b98a5}
small{color:#8b98a5;display:block;line-height:1.1}
figure{margin:1rem 0}svg{max-width:100%;height:auto}.pair{display:flex;flex-wrap:wrap;gap:2rem}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.35rem 1.4rem;font-size:.9rem}dt{font-weight:600}dd{margin:0}
"""


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
    """
    intervals = judged.intervals(resamples)
    found = metrics_of(judged, intervals, resamples)
    page = _page(judged, intervals, resamples, title, notes, examples)
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(found, indent=1, allow_nan=False, ensure_ascii=False)
    (folder / "metrics.json").write_text(text, encoding="utf-8")
    _cells(judged.table).to_csv(folder / "cases.csv", index=False, lineterminator="\n")
    target = folder / "report.html"
    target.write_text(page, encoding="utf-8")
    return target


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


def _page(
    judged: Judgement,
    intervals: pd.DataFrame,
    resamples: int,
    title: str,
    notes: Sequence[str],
    examples: Iterable[Example],
) -> str:
    rules = judged.settled.rules
    smoothing = f"smoothed with {rules.sigma_mm:g} mm" if rules.sigma_mm else "not smoothed"
    lead = (
        f"{judged.table['case'].nunique()} cases of {judged.table['patient'].nunique()} patients, "
        f"{len(judged.experts)} readers. Budgets are shares of {rules.unit.replace('-', ' ')}, "
        f"{rules.mode.replace('_', ' ')}; all score maps {smoothing}; seed {rules.seed}, {resamples} resamples."
    )
    parts = [f"<h1>{_escaped(title)}</h1><p class='lead'>{_escaped(lead)}</p>"]
    parts += [f"<p class='note'>{_escaped(note)}</p>" for note in notes]
    parts.append(
        "<h2>Dice against budget</h2>" + _drawn(figures.dice_curves(judged, intervals), "Bands: 95% intervals.")
    )
    parts.append("<h2>Methods</h2>" + "".join(_methods(judged, intervals, budget) for budget in rules.budgets))
    parts.append("<h2>Who reads how much</h2>" + _drawn(figures.workload(judged), ""))
    parts.append("<h2>Are the probabilities right, and is doubt where the errors are?</h2><div class='pair'>")
    parts.append(_drawn(figures.reliability(judged), "In the band, see the definitions."))
    areas = ", ".join(f"{name} {area:.5f}" for name, area in judged.aurc.items())
    parts.append(_drawn(figures.risk_coverage(judged), f"AURC: {areas}.") + "</div>")
    parts.append(_table(judged.calibration, {"voxels": ",.0f"}))
    if not (groups := judged.subgroups()).empty:
        few = groups[["value", "group", "cases", "method", "budget", "realised", "dice", "hd95", "over_best"]]
        parts.append("<h2>Subgroups</h2>" + _table(few, {"budget": ".1%", **FORMATS, "cases": "d"}))
    bare = _without_folders(judged.table["case"])
    shown = [
        f"<h3>{_escaped(bare.get(e.title, e.title))}</h3>{_drawn(figures.slices(e, judged.experts), '')}"
        for e in examples
    ]
    if shown:
        parts.append("<h2>Examples</h2><p class='note'>Yellow: truth. Blue: AI or system.</p>" + "".join(shown))
    says = {m.name: m.says for m in judged.methods}
    parts.append("<h2>What the methods do</h2>" + _terms(says) + "<h2>Definitions</h2>" + _terms(DEFINITIONS))
    return (
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{_escaped(title)}</title>"
        f"<style>{CSS}</style></head><body>{''.join(parts)}</body></html>"
    )


def _methods(judged: Judgement, intervals: pd.DataFrame, budget: float) -> str:
    summary = judged.summary()
    rows = summary[summary["budget"] == budget]
    spans = {(r.method, r.figure): (r.low, r.high) for r in intervals[intervals["budget"] == budget].itertuples()}
    shares = {SHARE + name: name for name in judged.experts}
    head = "".join(f"<th>{_escaped(c)}</th>" for c in ("Method", *COLUMNS.values(), *shares.values()))
    lines = []
    for row in rows.to_dict("records"):
        name = row["method"]
        cells = [f"<td>{_escaped(name)}</td>"]
        for column in COLUMNS:
            span = ""
            if column in WITH_INTERVAL and all(map(math.isfinite, spans[name, column])):
                span = "<small>{:.4f} to {:.4f}</small>".format(*spans[name, column])
            cells.append(f"<td>{_number(row[column], FORMATS.get(column, '.4f'))}{span}</td>")
        cells += [f"<td>{_number(row[column], '.1%')}</td>" for column in shares]
        kind = "base" if name == BEST.name else "bound" if "oracle" in name else ""
        lines.append(f"<tr class='{kind}'>{''.join(cells)}</tr>")
    return (
        f"<h3>Budget {budget:.1%}</h3><div class='scroll'><table><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _table(table: pd.DataFrame, formats: dict[str, str]) -> str:
    head = "".join(f"<th>{_escaped(str(c).removeprefix(GROUP).replace('_', ' '))}</th>" for c in table.columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{_number(v, formats.get(c, '.4f'))}</td>" for c, v in row.items()) + "</tr>"
        for row in table.to_dict("records")
    )
    return f"<div class='scroll'><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _escaped(text: str) -> str:
    """Text as HTML shows it letter by letter."""
    return html.escape(visible(text))


def _number(value: Any, form: str) -> str:
    if isinstance(value, str):
        return _escaped(value)
    if math.isnan(value):
        return "–"
    return "∞" if math.isinf(value) else format(value, form)


def _terms(terms: dict[str, str]) -> str:
    return "<dl>" + "".join(f"<dt>{_escaped(k)}</dt><dd>{_escaped(v)}</dd>" for k, v in terms.items()) + "</dl>"


def _drawn(svg: str, caption: str) -> str:
    return f"<figure>{svg}<figcaption>{_escaped(caption)}</figcaption></figure>"
