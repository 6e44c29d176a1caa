from __future__ import annotations

import csv
import html
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.scoring.cases import JudgedCase
from napari_deferredseg.scoring.evaluate import judge
from napari_deferredseg.scoring.figures import example
from napari_deferredseg.scoring.judgement import Judgement, across_seeds
from napari_deferredseg.scoring.methods import METHODS
from napari_deferredseg.scoring.report import DEFINITIONS, write_report

EXPERTS = ("FG", "BG", "BD")
BUDGETS = (0.02, 0.05, 0.1)


@pytest.fixture(scope="module")
def cases(make_case) -> dict[str, list[JudgedCase]]:
    return {
        "validation": [make_case(i, split="val") for i in range(60)],
        "test": [make_case(1000 + i, split="test", patient=f"p{i // 2}") for i in range(60)],
    }


@pytest.fixture(scope="module")
def few(cases: dict[str, list[JudgedCase]]) -> dict[str, list[JudgedCase]]:
    return {split: found[:16] for split, found in cases.items()}


def _judged(cases: dict[str, list[JudgedCase]], **settings) -> Judgement:
    given = {"experts": EXPERTS, "budgets": BUDGETS, "sigma_mm": 1.0, "seed": 3} | settings
    return judge(lambda: iter(cases["validation"]), lambda: iter(cases["test"]), **given)


@pytest.fixture(scope="module")
def judged(cases: dict[str, list[JudgedCase]]) -> Judgement:
    return _judged(cases)


def _by_name(judged: Judgement, budget: float) -> pd.DataFrame:
    summary = judged.summary()
    return summary[summary["budget"] == budget].set_index("method")


def test_there_is_a_row_for_every_method_budget_and_case(judged: Judgement) -> None:
    assert len(judged.table) == len(METHODS) * len(BUDGETS) * 60
    assert not judged.table.duplicated(["method", "budget", "case"]).any()
    assert set(judged.summary()["method"]) == {m.name for m in METHODS}


@pytest.mark.parametrize(("unit", "budgets"), [("voxels", BUDGETS), ("predicted-foreground", (0.1, 0.3))])
def test_a_threshold_from_validation_realises_the_budget_on_fresh_cases(cases, unit: str, budgets) -> None:
    summary = _judged(cases, unit=unit, budgets=budgets, methods=METHODS[1:8]).summary()
    used = summary[~summary["method"].isin(("ai-alone", "oracle"))]
    assert (used["realised"] / used["budget"]).between(0.9, 1.1).all()


def test_a_share_of_each_volume_is_never_exceeded(few) -> None:
    table = _judged(few, mode="per_volume_share", unit="predicted-foreground").table
    whole = pd.Series({c.key: int((c.labels > 0).sum()) for c in few["test"]})
    allowed = (table["budget"] * table["case"].map(whole) + 1e-6).astype(int)
    assert (table["deferred_voxels"] <= allowed).all()
    assert (table["deferred_voxels"] == allowed)[table["method"].str.startswith("entropy")].all()


def test_no_budget_is_the_ai_alone(few) -> None:
    summary = _judged(few, budgets=(0.0,)).summary()
    assert summary["dice"].nunique() == 1
    assert (summary["realised"] == 0).all()
    assert summary["remaining"].to_numpy() == pytest.approx(1)


def test_derived_figures_follow_from_mean_dice(judged: Judgement) -> None:
    for budget in BUDGETS:
        rows = _by_name(judged, budget)
        best, bound = rows.loc["entropy+best"], rows.loc["entropy+oracle-reader"]
        router = rows.loc["entropy+router"]
        assert (best["headroom"], bound["headroom"]) == pytest.approx((0, 1))
        assert router["headroom"] == pytest.approx((router["dice"] - best["dice"]) / (bound["dice"] - best["dice"]))
        assert router["remaining"] == pytest.approx((1 - router["dice"]) / (1 - rows.loc["ai-alone", "dice"]))
        assert router["dice"] > best["dice"]


def test_shares_sum_to_one_and_prices_even_them(judged: Judgement) -> None:
    summary = judged.summary()
    shares = summary[[f"share:{e}" for e in EXPERTS]]
    given = summary["method"] != "ai-alone"
    assert shares[given].sum(axis=1).to_numpy() == pytest.approx(1)
    assert shares[~given].isna().all(axis=None)
    rows = summary.set_index(["method", "budget"])["max_min_share"]
    for budget in BUDGETS:
        assert rows["entropy+router+prices", budget] <= 1.3
        assert rows["router+prices", budget] <= 1.3
        assert rows["router+batch", budget] <= 1.15
        assert rows["entropy+router", budget] > 1.5
        assert rows["entropy+equal-share", budget] <= 1.05
        assert np.isinf(rows["entropy+best", budget])


@pytest.mark.parametrize("lead", [0.0, 0.2])
def test_readers_whose_gains_differ_nowhere_share_the_work_in_pieces(cases, few, lead: float) -> None:
    """A baseline that knows of a reader's record alone: prices settled on few cases hold on many."""
    record = (np.array([0.1, 0.1 + lead, 0.1 - lead], np.float32)).reshape(3, 1, 1, 1)
    flat = {k: [replace(c, gain=np.broadcast_to(record, c.gain.shape)) for c in v] for k, v in cases.items()}
    flat["validation"] = flat["validation"][: len(few["validation"])]
    rows = _by_name(_judged(flat, budgets=(0.1,)), 0.1)
    assert rows.loc["entropy+router+prices", "max_min_share"] < 1.6
    assert rows.loc["router+batch", "max_min_share"] < 1.15
    assert rows.loc["entropy+router+prices", "errands"] < rows.loc["entropy+equal-share", "errands"] / 3


def test_prices_of_a_batch_do_not_look_at_the_truth(few) -> None:
    hidden = few | {"test": [replace(c, truth=np.zeros_like(c.truth)) for c in few["test"]]}
    tables = [_judged(cases, budgets=(0.1,)).table for cases in (few, hidden)]
    given = [t[t["method"] == "router+batch"].filter(like="voxels:").to_numpy() for t in tables]
    np.testing.assert_array_equal(*given)


def test_prices_of_the_model_take_precedence(few) -> None:
    priced = {k: [replace(c, prices=np.array([0.0, 9.0, 9.0])) for c in v] for k, v in few.items()}
    rows = _by_name(_judged(priced, budgets=(0.1,)), 0.1)
    assert rows.loc["router+prices", "share:FG"] == 1


def test_the_best_reader_is_chosen_on_validation(few) -> None:
    better = {
        "validation": [replace(c, experts=np.stack([c.experts[0], c.truth, c.experts[2]])) for c in few["validation"]],
        "test": few["test"],
    }
    rows = _by_name(_judged(better, budgets=(0.05,)), 0.05)
    assert rows.loc["entropy+best", "share:BG"] == 1


def test_an_absent_best_reader_is_replaced_by_the_next(few) -> None:
    def without(case: JudgedCase) -> JudgedCase:
        valid = case.valid.copy()
        valid[1] = False
        return replace(case, valid=valid)

    better = {
        "validation": [replace(c, experts=np.stack([c.experts[0], c.truth, c.experts[2]])) for c in few["validation"]],
        "test": [without(c) for c in few["test"]],
    }
    rows = _by_name(_judged(better, budgets=(0.05,)), 0.05)
    assert rows.loc["entropy+best", "share:BG"] == 0
    assert rows.loc["entropy+best", "realised"] > 0.04


def test_a_case_that_nobody_read_stays_with_the_ai(few) -> None:
    unread = replace(few["test"][0], valid=np.zeros_like(few["test"][0].valid))
    table = _judged({**few, "test": [unread]}).table
    assert (table["deferred_voxels"] == 0).all()
    assert table["dice"].nunique() == 1


def test_intervals_hold_the_mean_and_are_repeatable(judged: Judgement) -> None:
    first, again = judged.intervals(1000), judged.intervals(1000)
    pd.testing.assert_frame_equal(first, again)
    dice = first[first["figure"] == "dice"]
    assert ((dice["low"] <= dice["mean"]) & (dice["mean"] <= dice["high"])).all()
    merged = dice.merge(judged.summary(), on=["method", "budget"])
    assert merged["mean"].to_numpy() == pytest.approx(merged["dice"].to_numpy())
    over = first[(first["figure"] == "over_best") & (first["method"] == "entropy+best")]
    assert (over[["mean", "low", "high"]] == 0).all(axis=None)


def test_cases_of_one_patient_are_resampled_together(judged: Judgement) -> None:
    twice = replace(judged, table=pd.concat([judged.table, judged.table.assign(case=judged.table["case"] + "'")]))
    pd.testing.assert_frame_equal(twice.intervals(1000), judged.intervals(1000))


def test_subgroups_average_to_the_whole(judged: Judgement) -> None:
    groups = judged.subgroups()
    assert set(groups["value"]) == {"north", "south"}
    weighted = (groups["dice"] * groups["cases"]).groupby([groups["method"], groups["budget"]]).sum() / 60
    whole = judged.summary().set_index(["method", "budget"])["dice"]
    assert weighted.loc[whole.index].to_numpy() == pytest.approx(whole.to_numpy())


def test_calibration_tells_a_calibrated_ai_from_an_overconfident_one(few) -> None:
    def drawn(case: JudgedCase, number: int) -> JudgedCase:
        rng = np.random.default_rng(number)
        sharp = case.probability**4
        right = rng.random(case.right.shape) < case.right
        truth = (rng.random(case.truth.shape) < case.probability[1]).astype(np.uint8)
        experts = (truth ^ ~right).astype(np.uint8)
        return replace(case, truth=truth, experts=experts, raw_probability=sharp / sharp.sum(axis=0))

    table = _judged({**few, "test": [drawn(c, i) for i, c in enumerate(few["test"])]}, methods=METHODS[:1]).calibration
    found = table.set_index(["who", "probability", "scope"])
    assert found.loc[("AI", "calibrated", "band"), "ece"] < 0.03
    assert found.loc[("AI", "raw", "band"), "ece"] > 0.1
    assert found.loc[("AI", "calibrated", "band"), "brier"] < found.loc[("AI", "raw", "band"), "brier"]
    assert found.loc[("AI", "calibrated", "band"), "voxels"] == found.loc[("AI", "raw", "band"), "voxels"]
    assert found.loc[("FG", "calibrated", "all"), "ece"] < 0.02
    assert found.loc[("FG", "calibrated", "all"), "auroc"] > 0.6


def test_seeds_give_mean_and_deviation(cases, judged: Judgement) -> None:
    other = _judged(cases, seed=4)
    found = across_seeds([judged, other]).set_index(["method", "budget", "figure"])
    pair = [j.summary().set_index(["method", "budget"]).loc[("entropy+random", 0.05), "dice"] for j in (judged, other)]
    row = found.loc[("entropy+random", 0.05, "dice")]
    assert (row["mean"], row["sd"], row["seeds"]) == pytest.approx((np.mean(pair), np.std(pair, ddof=1), 2))
    assert found.loc[("ai-alone", 0.05, "dice"), "sd"] == 0


def test_cases_are_streamed(make_case) -> None:
    alive = 0

    def stream(split: str) -> Iterator[JudgedCase]:
        nonlocal alive
        for i in range(4):
            alive += 1
            yield make_case(i, split=split)
            alive -= 1

    judge(lambda: stream("v"), lambda: stream("t"), experts=EXPERTS, budgets=(0.1,))
    assert alive == 0


def test_many_labels_have_a_figure_each(few) -> None:
    def halved(case: JudgedCase) -> JudgedCase:
        right = np.arange(case.truth.shape[2]) >= case.truth.shape[2] // 2
        side = (1 + right).astype(np.uint8)
        p = case.probability
        three = np.stack([p[0], p[1] * ~right, p[1] * right])
        return replace(
            case, truth=case.truth * side, labels=case.labels * side, experts=case.experts * side, probability=three
        )

    table = _judged({k: [halved(c) for c in v[:8]] for k, v in few.items()}).table
    assert table["dice"].to_numpy() == pytest.approx(table[["dice_1", "dice_2"]].mean(axis=1).to_numpy())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"validation": []}, "no validation case"),
        ({"test": []}, "no test case"),
        ({"test": "validation"}, "split by patient"),
    ],
)
def test_parts_that_cannot_be_judged_are_refused(few, change: dict, message: str) -> None:
    parts = few | {k: few[v] if isinstance(v, str) else v for k, v in change.items()}
    with pytest.raises(InputError, match=message):
        _judged(parts)


def test_wrong_readers_and_budgets_are_refused(few) -> None:
    with pytest.raises(InputError, match="3 readers, not 2"):
        _judged(few, experts=("FG", "BG"))
    with pytest.raises(InputError, match="shares from 0 to 1"):
        _judged(few, budgets=(5,))


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.add(tag)
        self.links += [v or "" for k, v in attrs if k in ("src", "href", "xlink:href")]


def test_the_report_stands_alone_and_escapes_names(few, tmp_path: Path) -> None:
    names = ("<script>alert(1)</script>", "Ben & Co $x$", "_lea")
    judged = _judged({k: v[:10] for k, v in few.items()}, experts=names)
    case = few["test"][0]
    maps = judged.settled.rules.maps(case)
    index = judged.settled.deferred(maps, "entropy", 0.1)
    shown = example(
        "<b>case</b>", case, maps.deferral("gain", index, judged.settled.choices["entropy", 0.1]), case.defer
    )
    page = write_report(judged, tmp_path / "out", title="<i>", examples=[shown], resamples=1000).read_text("utf-8")
    tags = _Tags()
    tags.feed(page)
    assert not tags.found & {"script", "i", "b", "link", "iframe"}
    assert "svg" in tags.found
    assert all(link.startswith(("#", "data:image/png")) for link in tags.links)
    assert not re.search(r"url\((?!#)", page)
    for text in DEFINITIONS:
        assert f"<dt>{text}</dt>" in page
    assert all(m.name in page for m in METHODS)


@pytest.mark.parametrize("text", ["<img src=x onerror=alert(1)>", "{{ 7 * 191 }}", "left\u202egnp.exe", "a'\"b"])
def test_whatever_comes_from_data_is_shown_letter_by_letter(few, tmp_path: Path, text: str) -> None:
    test = [replace(x, groups={"site": text}) for x in few["test"][:4]]
    judged = _judged({"validation": few["validation"][:6], "test": test}, budgets=(0.1,), experts=(text, "Ben", "Lea"))
    page = write_report(judged, tmp_path, title=text, notes=[text], resamples=1000).read_text("utf-8")
    shown = html.escape(text.replace("\u202e", "\\u202e"), quote=False)
    body = page.replace("&#34;", '"').replace("&#39;", "'")
    found = re.findall(r'<(title|h1|p class="note"|th|td)>([^<]*)<', body)
    assert {where for where, said in found if said == shown} == {"title", "h1", 'p class="note"', "th", "td"}
    assert "\u202e" not in page


def test_the_files_hold_what_the_report_says(judged: Judgement, tmp_path: Path) -> None:
    write_report(judged, tmp_path, resamples=1000)
    found = json.loads((tmp_path / "metrics.json").read_text("utf-8"))
    assert found["settings"]["budgets"] == list(BUDGETS)
    assert found["summary"][0]["dice"] == pytest.approx(judged.summary()["dice"][0])
    assert {"summary", "intervals", "calibration", "chosen", "definitions", "aurc"} <= set(found)
    table = pd.read_csv(tmp_path / "cases.csv")
    assert table["dice"].to_numpy() == pytest.approx(judged.table["dice"].to_numpy())
    assert table["case"].tolist() == judged.table["case"].tolist()


def test_no_cell_of_the_cases_is_a_formula(few, tmp_path: Path) -> None:
    texts = ("=cmd|'/c calc'!A1", "@SUM(A1)", "+1", "-1")
    test = [replace(x, patient=t, groups={"site": t}) for x, t in zip(few["test"], texts, strict=False)]
    parts = few | {"test": test}
    judged = _judged(parts, experts=("=FG", "+BG", "BD"))
    write_report(judged, tmp_path, resamples=1000)
    with (tmp_path / "cases.csv").open(encoding="utf-8", newline="") as f:
        head, *rows = csv.reader(f)
    cells = [cell for row in rows for cell in row if not _is_number(cell)]
    assert not [cell for cell in (*head, *cells) if cell[:1] in tuple("=+-@")]
    assert {row[head.index("patient")] for row in rows} == {f"'{t}" for t in texts}


@pytest.mark.parametrize("home", ["/data/mueller", "C:\\data\\mueller"])
def test_reports_say_nothing_of_folders(few, tmp_path: Path, home: str) -> None:
    sep = "/" if home.startswith("/") else "\\"
    keys = [f"{home}{sep}{n % 2}{sep}ct{n // 2}.nii.gz" for n in range(4)]
    test = [replace(case, key=key, patient=key) for case, key in zip(few["test"], keys, strict=False)]
    judged = _judged(few | {"test": test})
    maps = judged.settled.rules.maps(test[0])
    index = judged.settled.deferred(maps, "entropy", 0.1)
    deferral = maps.deferral("gain", index, judged.settled.choices["entropy", 0.1])
    shown = example(keys[0], test[0], deferral, test[0].defer)
    write_report(judged, tmp_path, examples=[shown], resamples=1000)
    for path in tmp_path.iterdir():
        assert "mueller" not in path.read_text("utf-8")
    assert set(pd.read_csv(tmp_path / "cases.csv")["case"]) == {f"{n % 2}/ct{n // 2}.nii.gz" for n in range(4)}


def _is_number(cell: str) -> bool:
    return re.fullmatch(r"-?[0-9.]+(e-?[0-9]+)?", cell) is not None


def test_matplotlib_is_loaded_only_to_draw() -> None:
    code = "import sys, napari_deferredseg.scoring.report; sys.exit(bool({'matplotlib', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
