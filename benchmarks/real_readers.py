"""Cross-validate on images that several people have drawn on: `python real_readers.py --data DIR --config C --out OUT`.

DIR holds `caseNN_image.png` and `caseNN_raterN.png`. Each fold is trained and judged by the commands a user would type:
one fifth is the test part, the next the validation part, the rest is learned from; the reference is the readers'
majority, of which each reader's vote is a part. Prints the mean over all cases with bootstrap intervals, paired.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
from commands import command

METHODS = (
    "ai-alone",
    "entropy+random",
    "entropy+equal-share",
    "entropy+best",
    "router",
    "entropy+router",
    "router+prices",
    "router+batch",
)
BOUNDS = ("entropy+oracle-reader", "oracle")
RESAMPLES = 2000


def cases_of(folder: Path) -> list[dict[str, object]]:
    """Every image with its readers."""
    return [
        {
            "image": str(image),
            "experts": {
                p.stem.split("_")[1]: str(p) for p in sorted(folder.glob(f"{image.stem.split('_')[0]}_rater*"))
            },
        }
        for image in sorted(folder.resolve().glob("case*_image.png"))
    ]


def fold(cases: list[dict[str, object]], number: int, folds: int, out: Path) -> Path:
    """Cases file of one fold."""
    order = np.random.default_rng(0).permutation(len(cases))
    part = np.empty(len(cases), int)
    part[order] = np.arange(len(cases)) % folds
    split = {"test": part == number, "validation": part == (number + 1) % folds}
    split["training"] = ~(split["test"] | split["validation"])
    target = out / f"fold{number}.json"
    lists = {name: [c for c, here in zip(cases, mask, strict=True) if here] for name, mask in split.items()}
    target.write_text(json.dumps(lists), encoding="utf-8")
    return target


def judged(cases: Path, config: Path, seed: int) -> pd.DataFrame:
    """One row for each method, budget and case of a fold."""
    model = cases.with_name(f"{cases.stem}-{seed}")
    report = cases.with_name(f"{cases.stem}-{seed}-report")
    if not (model / "model.json").exists():
        command("train", "--data", cases, "--out", model, "--config", config, "--seed", str(seed))
    if not (report / "cases.csv").exists():
        command("evaluate", "--model", model, "--data", cases, "--out", report)
    table = pd.read_csv(report / "cases.csv")
    return table.assign(case=f"{cases.stem}/" + table["case"], seed=seed)


def interval(values: np.ndarray) -> str:
    """Mean of (cases,) with its bootstrap interval."""
    rng = np.random.default_rng(0)
    drawn = values[rng.integers(len(values), size=(RESAMPLES, len(values)))].mean(axis=1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return f"{values.mean():+.4f} ({low:+.4f} to {high:+.4f})"


def print_table(table: pd.DataFrame) -> None:
    """Dice of every method, and what each adds to entropy and the best single reader."""
    dice = table.groupby(["method", "budget", "case"])["dice"].mean().unstack("case")
    budgets = sorted(table["budget"].unique())
    print("| method | " + " | ".join(f"{b:.0%}" for b in budgets) + " |\n|---|" + "---|" * len(budgets))
    for method in (*METHODS, *BOUNDS):
        print(f"| {method} | " + " | ".join(f"{dice.loc[(method, b)].mean():.4f}" for b in budgets) + " |")
    print(
        "\n| less entropy + best single | "
        + " | ".join(f"{b:.0%}" for b in budgets)
        + " |\n|---|"
        + "---|" * len(budgets)
    )
    for method in ("router", "entropy+router", "router+prices", "router+batch"):
        gaps = [(dice.loc[(method, b)] - dice.loc[("entropy+best", b)]).to_numpy() for b in budgets]
        print(f"| {method} | " + " | ".join(interval(g) for g in gaps) + " |")
    captured = [
        (dice.loc[("router", b)].mean() - dice.loc[("entropy+best", b)].mean())
        / (dice.loc[("entropy+oracle-reader", b)].mean() - dice.loc[("entropy+best", b)].mean())
        for b in budgets
    ]
    print("| headroom, router | " + " | ".join(f"{c:.2f}" for c in captured) + " |")
    readers = [c for c in table.columns if c.startswith("voxels:")]
    for method in ("router+prices", "router+batch"):
        rows = table[table["method"] == method].groupby("budget")[readers].sum()
        ratios = " | ".join(f"{r.max() / max(r.min(), 1):.2f}" for _, r in rows.iterrows())
        print(f"| largest over smallest share, {method} | {ratios} |")
    regions = table[table["method"].isin(["router", "entropy+best"])].groupby(["method", "budget"])["regions"].mean()
    for method in ("entropy+best", "router"):
        print(f"| regions, {method} | " + " | ".join(f"{regions.loc[(method, b)]:.1f}" for b in budgets) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    cases = cases_of(asked.data)
    files = [fold(cases, number, asked.folds, asked.out) for number in range(asked.folds)]
    print_table(pd.concat([judged(file, asked.config, seed) for file in files for seed in asked.seeds]))


if __name__ == "__main__":
    main()
