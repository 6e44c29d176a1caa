"""The model card: what a model is for, what it learned from, what it may not be trusted with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_deferredseg.core.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_deferredseg.core.datalist import Datalist
    from napari_deferredseg.deferral.data.cases import Prepared
    from napari_deferredseg.deferral.model.spec import ModelSpec


@dataclass(frozen=True)
class Record:
    """Mean Dice over cases with its 95 % bootstrap interval; nan where one case leaves no interval.

    `of` is "AI" or a reader; `where` is a label's name, or a subgroup as "site: north" (all labels, all in one).
    """

    of: str
    where: str
    dice: float
    low: float
    high: float
    cases: int


def write_card(spec: ModelSpec, datalist: Datalist, prepared: Prepared, records: Sequence[Record]) -> str:
    """Card of a trained model, Markdown."""
    return "\n".join([*_head(spec), *_data(spec, datalist, prepared), *_records(records), *_policy(spec), *_limits()])


def _head(spec: ModelSpec) -> list[str]:
    kind = "one network for both (joint)" if spec.config.mode == "joint" else "segmentor, then router (two-stage)"
    segmentor = spec.config.segmentor
    network = f"network {spec.config.network.name} of MONAI"
    if not segmentor.TRAINED_HERE:
        network = (
            f"segmentor {segmentor.described}, trained elsewhere: cases that it learned from make it look too good"
        )
    return [
        f"# {spec.name}",
        "",
        "## Intended use",
        "",
        "Research: to show where this segmentation should not be trusted and which reader to ask. Not a medical",
        "device.",
        "",
        "## What it is",
        "",
        f"- {kind}, {spec.config.data.spatial_dims}-D, {network}",
        f"- labels: {', '.join(f'{x.value} {x.name}' for x in spec.table.labels)}",
        f"- readers (expert channels): {', '.join(spec.experts)}",
        f"- image channels: {spec.channels}; intensity: {spec.config.data.intensity}",
        f"- licence: {spec.config.licence or 'not stated; ask those whose weights and data these are'}",
        f"- made with napari-deferredseg {__version__}, seed {spec.seed}",
        "",
    ]


def _data(spec: ModelSpec, datalist: Datalist, prepared: Prepared) -> list[str]:
    lines = ["## Data", "", "| part | cases | patients |", "|---|---|---|"]
    for split, cases in (("training", datalist.training), ("validation", datalist.validation)):
        lines.append(f"| {split} | {len(cases)} | {len({case.key for case in cases})} |")
    own = all(case.label is not None for case in (*datalist.training, *datalist.validation))
    reference = "the label of each case" if own else f"the readers' consensus ({spec.config.data.consensus})"
    lines += ["", f"Reference: {reference}. The parts are split by patient.", ""]
    lines += [f"Digest of all voxels: `{prepared.digest}`.", ""]
    if not own and spec.config.data.consensus != "leave-one-out":
        lines += ["A reader's own vote is part of the consensus that they are measured against.", ""]
    return lines


def _records(records: Sequence[Record]) -> list[str]:
    lines = ["## On the validation cases", "", "Dice, mean over cases, with 95 % bootstrap intervals.", ""]
    lines += ["| who | where | Dice | interval | cases |", "|---|---|---|---|---|"]
    lines += [f"| {r.of} | {r.where} | {r.dice:.3f} | {r.low:.3f} to {r.high:.3f} | {r.cases} |" for r in records]
    return [*lines, ""]


def _policy(spec: ModelSpec) -> list[str]:
    policy = spec.policy
    lines = ["## What validation chose", ""]
    if policy.fell_back:
        lines.append(
            "**The learned router was no better on validation than entropy with the best single reader. The model "
            "falls back to that baseline.**"
        )
    else:
        lines.append(
            f"Where: {policy.where_weight:.0%} {policy.where}, the rest entropy. Who: {policy.who_weight:.0%} "
            f"{policy.who}, the rest each reader's record."
        )
    lines += [
        "",
        f"AI logits times {spec.temperature.sharpness:.3f} + {spec.temperature.growth:.3f} of their margin.",
        "",
        "| budget | threshold | best single reader | prices |",
        "|---|---|---|---|",
    ]
    for b in policy.budgets:
        prices = ", ".join(f"{p:.3f}" for p in b.prices)
        lines.append(f"| {b.budget:.1%} of {spec.config.policy.unit} | {b.threshold:.4f} | {b.best} | {prices} |")
    lines += ["", "| tried on validation | Dice less the baseline's | standard error |", "|---|---|---|"]
    lines += [f"| {t.name} | {t.difference:+.4f} | {t.standard_error:.4f} |" for t in policy.trials]
    return [*lines, ""]


def _limits() -> list[str]:
    return [
        "## Limits",
        "",
        "- Valid for images like those it learned from: same modality, region, spacing and readers.",
        "- A reader who was not recorded has no channel; map channels onto readers deliberately.",
        "- Validation chose the networks' best step, the scaling and the policy, so the figures above are a little too",
        "  good. Those of `deferredseg evaluate` on test cases are not.",
        "- Figures on your own data: `deferredseg evaluate`.",
        "",
    ]
