"""The report as a page: what the template is filled with."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from napari_deferredseg.core.names import visible
from napari_deferredseg.scoring import figures
from napari_deferredseg.scoring.judgement import GROUP, SHARE
from napari_deferredseg.scoring.methods import BEST

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pandas as pd
    from jinja2 import Template

    from napari_deferredseg.scoring.figures import Example
    from napari_deferredseg.scoring.judgement import Judgement

COLUMNS = {
    "realised": "Realised",
    "dice": "Dice",
    "over_best": "over best",
    "headroom": "Headroom",
    "remaining": "Remaining",
    "iou": "IoU",
    "sensitivity": "Sens.",
    "hd95": "HD95",
    "nsd": "NSD",
    "kept_dice": "Dice kept",
    "deferred_dice": "Dice deferred",
    "regions": "Regions",
    "errands": "Errands",
    "max_min_share": "max/min",
}
FORMATS = {"realised": ".2%", "hd95": ".2f", "regions": ".1f", "errands": ".1f", "max_min_share": ".2f"}
WITH_INTERVAL = ("dice", "over_best", "headroom")
SUBGROUP = ["value", "group", "cases", "method", "budget", "realised", "dice", "hd95", "nsd", "over_best"]


@dataclass(frozen=True)
class Cell:
    """Text, and an interval below it."""

    text: str
    span: str = ""


@dataclass(frozen=True)
class Row:
    """Cells, and the class they are drawn in."""

    cells: list[Cell]
    kind: str = ""


@dataclass(frozen=True)
class Table:
    """Names of the columns, and the rows."""

    head: list[str]
    rows: list[Row]


def page_of(
    judged: Judgement,
    intervals: pd.DataFrame,
    resamples: int,
    *,
    title: str,
    notes: Sequence[str],
    examples: Iterable[Example],
    definitions: Mapping[str, str],
    bare: Mapping[str, str],
) -> str:
    """HTML page of an evaluation; every text in it is escaped and shown letter by letter.

    Parameters
    ----------
    bare : mapping of str to str
        Names of cases without their folders.
    """
    groups = judged.subgroups()
    areas = ", ".join(f"{name} {area:.5f}" for name, area in judged.aurc.items())
    return _template().render(
        title=title,
        lead=_lead(judged, resamples),
        notes=notes,
        curves=_svg(figures.dice_curves(judged, intervals)),
        tables=[(f"{b:.1%}", _methods(judged, intervals, b)) for b in judged.settled.rules.budgets],
        workload=_svg(figures.workload(judged)),
        reliability=_svg(figures.reliability(judged)),
        risk_coverage=_svg(figures.risk_coverage(judged)),
        areas=f"AURC: {areas}.",
        calibration=_table(judged.calibration, {"voxels": ",.0f"}),
        subgroups=None if groups.empty else _table(groups[SUBGROUP], {"budget": ".1%", **FORMATS, "cases": "d"}),
        examples=[(bare.get(e.title, e.title), _svg(figures.slices(e, judged.experts))) for e in examples],
        says={m.name: m.says for m in judged.methods},
        definitions=definitions,
    )


def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("napari_deferredseg.scoring", ""),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: value if isinstance(value, Markup) else visible(str(value)),
    )
    return environment.get_template("report.html.j2")


def _svg(drawn: str) -> Markup:
    """Figure as it is: matplotlib escapes what is written in it."""
    return Markup(drawn)


def _lead(judged: Judgement, resamples: int) -> str:
    rules = judged.settled.rules
    smoothing = f"smoothed with {rules.sigma_mm:g} mm" if rules.sigma_mm else "not smoothed"
    return (
        f"{judged.table['case'].nunique()} cases of {judged.table['patient'].nunique()} patients, "
        f"{len(judged.experts)} readers. Budgets are shares of {rules.unit.replace('-', ' ')}, "
        f"{rules.mode.replace('_', ' ')}; all score maps {smoothing}; NSD at {rules.tolerance_mm:g} mm; seed "
        f"{rules.seed}, {resamples} resamples."
    )


def _methods(judged: Judgement, intervals: pd.DataFrame, budget: float) -> Table:
    summary = judged.summary()
    rows = summary[summary["budget"] == budget]
    spans = {(r.method, r.figure): (r.low, r.high) for r in intervals[intervals["budget"] == budget].itertuples()}
    shares = {SHARE + name: name for name in judged.experts}
    found = []
    for row in rows.to_dict("records"):
        name = row["method"]
        cells = [Cell(name)]
        for column in COLUMNS:
            span = ""
            if column in WITH_INTERVAL and all(map(math.isfinite, spans[name, column])):
                span = "{:.4f} to {:.4f}".format(*spans[name, column])
            cells.append(Cell(_number(row[column], FORMATS.get(column, ".4f")), span))
        cells += [Cell(_number(row[column], ".1%")) for column in shares]
        found.append(Row(cells, "base" if name == BEST.name else "bound" if "oracle" in name else ""))
    return Table(["Method", *COLUMNS.values(), *shares.values()], found)


def _table(table: pd.DataFrame, formats: Mapping[str, str]) -> Table:
    head = [str(c).removeprefix(GROUP).replace("_", " ") for c in table.columns]
    rows = [
        Row([Cell(_number(v, formats.get(str(c), ".4f"))) for c, v in row.items()]) for row in table.to_dict("records")
    ]
    return Table(head, rows)


def _number(value: Any, form: str) -> str:
    if isinstance(value, str):
        return value
    if math.isnan(value):
        return "–"
    return "∞" if math.isinf(value) else format(value, form)
