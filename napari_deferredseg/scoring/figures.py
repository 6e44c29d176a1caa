"""Drawings of an evaluation as inline SVG. matplotlib is imported when something is drawn."""

from __future__ import annotations

from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING

import numpy as np

from napari_deferredseg.core.names import visible
from napari_deferredseg.scoring.judgement import SHARE
from napari_deferredseg.scoring.methods import STAYS, Deferral, composed

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from napari_deferredseg.core.volume import Array
    from napari_deferredseg.scoring.cases import JudgedCase
    from napari_deferredseg.scoring.judgement import Judgement

INK, PALE = "#22303c", "#c9d1d8"
STYLES: dict[str, tuple[str, str, float]] = {
    "ai-alone": (PALE, "--", 1.4),
    "entropy+random": ("#8b98a5", "-", 1.4),
    "entropy+best": (INK, "-", 2.0),
    "entropy+router": ("#d1495b", "-", 2.0),
    "router": ("#e08e0b", "-", 2.0),
    "router+prices": ("#e08e0b", ":", 2.0),
    "router+batch": ("#e08e0b", "-.", 1.5),
    "entropy+router+prices": ("#d1495b", ":", 2.0),
    "entropy+oracle-reader": ("#2e86ab", "--", 1.4),
}
COLORS = ("#2e86ab", "#e08e0b", "#5b8e55", "#d1495b", "#7a5195", "#8c6d46", "#3aa6a0", "#b0b7bd")


@dataclass(frozen=True)
class Example:
    """One slice to look at: the image, the truth and three answers, all (y, x); `who` is -1 where the AI's stays."""

    title: str
    image: Array
    truth: Array
    labels: Array
    system: Array
    who: Array


def example(title: str, case: JudgedCase, deferral: Deferral, image: Array) -> Example:
    """Slice of a case, with its image (z, y, x), on which most voxels are deferred."""
    who = deferral.who_map(case.truth.shape)
    z = int((who != STAYS).sum(axis=(1, 2)).argmax())
    return Example(title, image[z], case.truth[z], case.labels[z], composed(case, deferral)[z], who[z])


def dice_curves(judgement: Judgement, intervals: pd.DataFrame) -> str:
    """Mean Dice against the budget, with the bootstrap intervals."""
    figure, axes = _figure(7.2, 4.2)
    dice = intervals[intervals["figure"] == "dice"]
    for name, (color, line, width) in STYLES.items():
        rows = dice[dice["method"] == name].sort_values("budget")
        if rows.empty:
            continue
        x = rows["budget"].to_numpy(float) * 100
        axes.plot(x, rows["mean"], line, color=color, lw=width, marker="o", ms=3.5, label=name)
        if name in ("entropy+best", "entropy+router", "router"):
            axes.fill_between(
                x, rows["low"].to_numpy(float), rows["high"].to_numpy(float), color=color, alpha=0.1, lw=0
            )
    axes.set(xlabel=f"budget, % of {judgement.settled.rules.unit.replace('-', ' ')}", ylabel="Dice of the system")
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return _svg(figure)


def workload(judgement: Judgement) -> str:
    """Share of the deferred voxels that each reader gets, for each method at the middle budget."""
    budgets = judgement.settled.rules.budgets
    summary = judgement.summary()
    rows = summary[(summary["budget"] == budgets[len(budgets) // 2]) & summary["max_min_share"].notna()]
    names = rows["method"].tolist()[::-1]
    figure, axes = _figure(7.2, 0.8 + 0.3 * max(len(names), 1))
    left = np.zeros(len(names))
    for j, reader in enumerate(judgement.experts):
        share = rows[SHARE + reader].to_numpy(float)[::-1] * 100
        axes.barh(names, share, left=left, color=COLORS[j % len(COLORS)], height=0.72, label=_plain(reader))
        left += share
    axes.set(xlabel=f"% of the deferred voxels, at a budget of {budgets[len(budgets) // 2]:.1%}", xlim=(0, 100))
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return _svg(figure)


def reliability(judgement: Judgement) -> str:
    """Share of right voxels against the probability of being right, in the band."""
    figure, axes = _figure(5.6, 4.2)
    axes.plot((0, 1), (0, 1), color=PALE, lw=1)
    lines = {"AI, raw": ("AI", "raw", "band"), "AI": ("AI", "calibrated", "band")}
    lines |= {name: (name, "calibrated", "band") for name in judgement.experts}
    low = 1.0
    for i, (name, key) in enumerate(lines.items()):
        table = judgement.reliability.get(key)
        if table is None or not len(table):
            continue
        color = {0: PALE, 1: INK}.get(i, COLORS[(i - 2) % len(COLORS)])
        axes.plot(table[:, 0], table[:, 1], "o-", ms=3, lw=1.3, color=color, label=_plain(name))
        low = min(low, float(table[:, :2].min()))
    axes.set(xlabel="probability of being right", ylabel="share that is right", xlim=(low, 1), ylim=(low, 1))
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return _svg(figure)


def risk_coverage(judgement: Judgement) -> str:
    """Error rate of what the AI keeps against the share it gives up."""
    figure, axes = _figure(5.6, 3.8)
    for (name, curve), color in zip(judgement.doubt.items(), (INK, "#e08e0b"), strict=True):
        given_up = 1 - curve[:, 0]
        shown = given_up >= 1e-4
        axes.plot(given_up[shown] * 100, curve[shown, 1] * 100, color=color, lw=1.8, label=name)
    axes.axhline(judgement.error_rate * 100, color=PALE, ls="--", lw=1.2, label="nothing given up")
    axes.set(xscale="log", xlabel="% of voxels given up", ylabel="% of the rest on which the AI is wrong")
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return _svg(figure)


def slices(shown: Example, readers: tuple[str, ...]) -> str:
    """Image, AI and system with the truth's outline, and who answers where."""
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 2.7), layout="constrained")
    low, high = np.percentile(shown.image, (1, 99))
    palette = ListedColormap(["#00000000", *(COLORS[j % len(COLORS)] for j in range(len(readers)))])
    titles = ("truth", "AI", "who answers", "system")
    for axes, title in zip(np.atleast_1d(figure.subplots(1, 4)), titles, strict=True):
        axes.imshow(shown.image, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), interpolation="nearest")
        if title == "who answers":
            axes.imshow(
                shown.who, cmap=palette, vmin=-1.5, vmax=len(readers) - 0.5, alpha=0.75, interpolation="nearest"
            )
        _outline(axes, shown.truth, "#f2c14e")
        if title in ("AI", "system"):
            _outline(axes, shown.labels if title == "AI" else shown.system, "#38c6d9")
        axes.set_title(title, fontsize=9, color=INK)
        axes.set_axis_off()
    return _svg(figure)


def _outline(axes: Axes, labels: Array, color: str) -> None:
    for value in np.unique(labels[labels > 0]):
        if not (labels == value).all():
            axes.contour(labels == value, levels=[0.5], colors=[color], linewidths=1.1)


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9)
    axes.grid(color="#eceff1", lw=0.8)
    axes.set_axisbelow(True)
    return figure, axes


def _svg(figure: Figure) -> str:
    from matplotlib import rc_context

    target = StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "report", "font.family": "sans-serif"}):
        figure.savefig(target, format="svg", metadata={"Date": None}, transparent=True)
    text = target.getvalue()
    return text[text.index("<svg") :]


def _plain(name: str) -> str:
    """Name that is drawn as it is: no mathematics, and not hidden from the legend."""
    shown = visible(name).replace("$", r"\$")
    return f" {shown}" if shown.startswith("_") else shown
