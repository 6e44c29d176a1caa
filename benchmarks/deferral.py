"""Train and judge on the synthetic benchmark: `python deferral.py --complementary C.json --dominant D.json --out DIR`.

For each variant and seed a two-stage model and the published script as written are trained and judged by the commands
a user would type. Prints the table of all methods, mean over the seeds, and each line that the product promises with
what was found. A run that was cut off goes on: what is in DIR is not made again.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from commands import command

CONFIGS = Path(__file__).with_name("configs")
METHODS = (
    "ai-alone",
    "entropy+random",
    "entropy+equal-share",
    "entropy+best",
    "router",
    "entropy+router",
    "router+prices",
    "router+batch",
    "entropy+oracle-reader",
    "oracle",
)
Figures = dict[tuple[str, float], dict[str, float]]


def judged(data: Path, config: str, seed: int, out: Path) -> dict[str, Any]:
    """Metrics of a model that is trained and judged, or was already."""
    model, report = out / f"{config}-{seed}", out / f"{config}-{seed}-report"
    started = time.perf_counter()
    if not (model / "model.json").exists():
        command("train", "--data", data, "--out", model, "--config", CONFIGS / f"{config}.toml", "--seed", str(seed))
    if not (report / "metrics.json").exists():
        command("evaluate", "--model", model, "--data", data, "--out", report)
    print(f"{model}: {time.perf_counter() - started:.0f} s", file=sys.stderr)
    found: dict[str, Any] = json.loads((report / "metrics.json").read_text(encoding="utf-8"))
    return found


def figures(metrics: dict[str, Any]) -> Figures:
    """Figures by method and budget."""
    return {
        (row["method"], row["budget"]): {k: np.inf if v is None else v for k, v in row.items()}
        for row in metrics["summary"]
    }


def mean(runs: list[Figures], method: str, budget: float, name: str) -> float:
    """Mean over seeds."""
    return float(np.mean([run[method, budget][name] for run in runs]))


def headroom(runs: list[Figures], method: str, budget: float) -> float:
    """Headroom captured, of mean Dice over seeds."""
    best, bound = (mean(runs, m, budget, "dice") for m in ("entropy+best", "entropy+oracle-reader"))
    return (mean(runs, method, budget, "dice") - best) / (bound - best)


def print_table(title: str, runs: list[Figures], script: list[Figures]) -> None:
    """Dice of every method, mean and standard deviation over seeds."""
    budgets = sorted({b for _, b in runs[0]})
    print(f"\n### {title}\n\n| method | " + " | ".join(f"{b:.0%}" for b in budgets) + " |")
    print("|---|" + "---|" * len(budgets))
    for method in METHODS:
        cells = []
        for b in budgets:
            dice = [run[method, b]["dice"] for run in runs]
            cells.append(f"{np.mean(dice):.4f} ± {np.std(dice, ddof=min(1, len(dice) - 1)):.4f}")
        print(f"| {method} | " + " | ".join(cells) + " |")
    cells = [f"{mean(script, 'router', b, 'dice'):.4f}" for b in budgets]
    print("| script as written | " + " | ".join(cells) + " |")
    for name, form in (("realised", ".2%"), ("regions", ".1f"), ("max_min_share", ".2f")):
        for method in ("entropy+best", "router", "router+prices", "router+batch"):
            values = " | ".join(format(mean(runs, method, b, name), form) for b in budgets)
            print(f"| {name}, {method} | {values} |")


def print_promises(variant: str, runs: list[Figures], script: list[Figures], trust: list[dict[str, Any]]) -> None:
    """Each promised figure with what was found."""

    def line(text: str, value: float, held: bool, form: str = ".4f") -> None:
        print(f"- {'holds' if held else 'MISSED'}: {text}: {value:{form}}")

    def gap(a: str, b: str, budget: float) -> float:
        return mean(runs, a, budget, "dice") - mean(runs, b, budget, "dice")

    print()
    over = mean(runs, "router", 0.05, "dice") - mean(script, "router", 0.05, "dice")
    line("over the script as written at 5 %, 0.015 or more", over, over >= 0.015)
    if variant == "complementary":
        for b, most in ((0.05, 0.32), (0.10, 0.22)):
            captured, left = headroom(runs, "router", b), mean(runs, "router", b, "remaining")
            line(f"headroom at {b:.0%}, 0.50 or more", captured, captured >= 0.5, ".2f")
            line(f"remaining Dice error at {b:.0%}, {most} or less", left, left <= most, ".3f")
    else:
        for b in (0.02, 0.05, 0.10):
            difference = gap("router", "entropy+best", b)
            line(f"over entropy + best single at {b:.0%}, -0.001 or more", difference, difference >= -0.001)
        captured = headroom(runs, "router", 0.10)
        line("headroom at 10 %, 0.20 or more", captured, captured >= 0.2, ".2f")
    for method in ("router+prices", "router+batch"):
        for b in (0.02, 0.05, 0.10):
            ratio = float(np.max([run[method, b]["max_min_share"] for run in runs]))
            line(f"{method}, largest over smallest share at {b:.0%}, 1.3 or less", ratio, ratio <= 1.3, ".2f")
            difference = gap(method, "entropy+best", b)
            line(f"{method} over entropy + best single at {b:.0%}, -0.003 or more", difference, difference >= -0.003)
        difference = gap(method, "entropy+equal-share", 0.05)
        line(f"{method} over equal-share random at 5 %, 0.005 or more", difference, difference >= 0.005)
    for b in (0.02, 0.05, 0.10):
        realised = mean(runs, "router", b, "realised")
        line(f"realised budget at {b:.0%}, within 10 %", realised, abs(realised / b - 1) <= 0.1, ".2%")
    print_trust(trust)


def print_trust(trust: list[dict[str, Any]]) -> None:
    """Calibration of the AI and of the readers' competence, mean over seeds."""
    rows = [row for metrics in trust for row in metrics["calibration"] if row["scope"] == "band"]

    def of(figure: str, ai: bool, probability: str) -> float:
        chosen = [r[figure] for r in rows if (r["who"] == "AI") == ai and r["probability"] == probability]
        return float(np.mean(chosen))

    raw, scaled = of("ece", True, "raw"), of("ece", True, "calibrated")
    print(f"- {'holds' if scaled <= raw / 2 else 'MISSED'}: band ECE of the AI halved: {raw:.4f} to {scaled:.4f}")
    for scope in ("band", "all"):
        rows = [row for metrics in trust for row in metrics["calibration"] if row["scope"] == scope]
        ece, brier, auroc = (of(f, False, "calibrated") for f in ("ece", "brier", "auroc"))
        held = "holds" if ece <= 0.01 else "MISSED"
        print(
            f"- {held}: expert-correctness ECE 0.01 or less ({scope}): {ece:.4f}, Brier {brier:.4f}, AUROC {auroc:.3f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--complementary", type=Path, help="cases file with readers who complement each other")
    parser.add_argument("--dominant", type=Path, help="cases file in which one reader is best where the AI errs")
    parser.add_argument("--out", type=Path, required=True, help="folder for models and reports")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    asked = parser.parse_args()
    for variant, data in (("complementary", asked.complementary), ("dominant", asked.dominant)):
        if data is None:
            continue
        place = asked.out / variant
        place.mkdir(parents=True, exist_ok=True)
        found = [judged(data, "synthetic", seed, place) for seed in asked.seeds]
        written = [figures(judged(data, "synthetic_script", seed, place)) for seed in asked.seeds]
        runs = [figures(metrics) for metrics in found]
        print_table(f"{variant}, {len(runs)} training seeds", runs, written)
        print_promises(variant, runs, written, found)


if __name__ == "__main__":
    main()
