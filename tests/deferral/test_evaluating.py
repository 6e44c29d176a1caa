from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.deferral.model.model import load_model
from napari_deferredseg.scoring.methods import METHODS
from napari_deferredseg.usecases.learn import evaluate_model, train_model

BUDGETS = (0.05, 0.2)


@pytest.fixture(scope="module")
def judged(model, cases, tmp_path_factory):
    """Report of the model on the test cases: its folder and what it returned."""
    out = tmp_path_factory.mktemp("reports") / "report"
    return out, evaluate_model(model, cases, out, device="cpu")


def run(*words):
    return subprocess.run(
        [sys.executable, "-m", "napari_deferredseg.cli", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_every_baseline_is_judged_at_every_budget_of_the_model(judged):
    folder, summary = judged
    assert {(m.name, b) for m in METHODS for b in BUDGETS} == set(
        zip(summary["method"], summary["budget"], strict=True)
    )
    found = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    assert found["settings"]["unit"] == "voxels"
    assert (found["cases"], found["patients"]) == (3, 3)
    table = pd.read_csv(folder / "cases.csv")
    assert len(table) == 3 * len(METHODS) * len(BUDGETS)
    assert "<html" in (folder / "report.html").read_text(encoding="utf-8")
    assert {p.name for p in folder.iterdir()} == {"metrics.json", "cases.csv", "report.html"}


def test_a_full_disk_leaves_no_half_of_a_report_and_the_folder_can_be_used_again(model, cases, tmp_path, monkeypatch):
    def full(*args, **options):
        raise OSError(28, "No space left on device")

    out = tmp_path / "report"
    with monkeypatch.context() as patch:
        patch.setattr(pd.DataFrame, "to_csv", full)
        with pytest.raises(InputError, match=r"report: .* \(No space left on device\); free some space"):
            evaluate_model(model, cases, out, device="cpu")
    assert not list(out.iterdir())
    evaluate_model(model, cases, out, device="cpu", budgets=["5%"])
    assert {p.name for p in out.iterdir()} == {"metrics.json", "cases.csv", "report.html"}


def test_the_order_of_methods_is_possible(judged):
    dice = judged[1].pivot(index="method", columns="budget", values="dice")
    assert (dice.loc["oracle"] >= dice.max() - 1e-9).all()
    assert (dice.loc["ai-alone"] == dice.loc["ai-alone"].iloc[0]).all()
    assert dice.loc["oracle", 0.2] >= dice.loc["oracle", 0.05]


def test_budgets_are_kept_about(judged):
    realised = judged[1].pivot(index="method", columns="budget", values="realised")
    assert (realised.loc["ai-alone"] == 0).all()
    for budget in BUDGETS:
        assert np.allclose(realised.loc[["random+best", "entropy+best"], budget], budget, rtol=0.6)
    assert (realised[0.2] >= realised[0.05]).all()


def test_the_same_case_is_judged_alike_again(judged, model, cases, tmp_path):
    evaluate_model(model, cases, tmp_path / "again", device="cpu")
    for name in ("metrics.json", "cases.csv"):
        assert (tmp_path / "again" / name).read_bytes() == (judged[0] / name).read_bytes()


def test_other_budgets_units_and_parts(model, cases, tmp_path):
    found = evaluate_model(
        model,
        cases,
        tmp_path / "r",
        split="training",
        budgets=("10%", "0.5"),
        unit="predicted-foreground",
        device="cpu",
    )
    assert set(found["budget"]) == {0.1, 0.5}
    metrics = json.loads((tmp_path / "r" / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["cases"] == 6
    assert metrics["settings"]["unit"] == "predicted-foreground"


def test_missing_readers_are_judged_where_they_answered(lab, tmp_path):
    path = lab.write_cases(tmp_path / "cases", absent=True, labels=False)
    folder = lab.train(path, tmp_path / "model")
    found = evaluate_model(folder, path, tmp_path / "report", device="cpu")
    assert np.isfinite(found["dice"]).all()


def test_a_joint_model_is_judged_by_the_same_table(lab, cases, tmp_path):
    folder = lab.train(cases, tmp_path / "model", lab.settings(mode="joint", joint_loss="script-as-written"))
    found = evaluate_model(folder, cases, tmp_path / "report", device="cpu")
    assert set(found["method"]) == {m.name for m in METHODS}
    assert np.isfinite(found["dice"]).all()


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"budgets": ("5 voxels",)}, "no share"),
        ({"budgets": ("0%",)}, "over 0"),
        ({"budgets": ("101%",)}, "up to 100%"),
        ({"split": "validation"}, "judge the test cases"),
        ({"device": "abacus"}, "no device"),
    ],
)
def test_bad_wishes_leave_no_report(model, cases, tmp_path, more, says):
    with pytest.raises(InputError, match=says):
        evaluate_model(model, cases, tmp_path / "report", **more)
    assert not (tmp_path / "report").exists()


def test_cases_that_the_model_cannot_be_judged_on(lab, model, cases, tmp_path):
    path = lab.write_cases(tmp_path / "cases", counts=(0, 2, 0))
    with pytest.raises(InputError, match="no test cases"):
        evaluate_model(model, path, tmp_path / "report")
    path = lab.write_cases(tmp_path / "cases", counts=(0, 2, 2), channels=2)
    with pytest.raises(InputError, match="has 2 channels, 1 were expected"):
        evaluate_model(model, path, tmp_path / "report")
    path = lab.write_cases(tmp_path / "cases", counts=(0, 2, 2))
    content = path.read_text(encoding="utf-8")
    for name in lab.readers:
        content = content.replace(f'"{name}"', f'"Dr {name}"')
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match="none of the model's readers"):
        evaluate_model(model, path, tmp_path / "report")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    with pytest.raises(InputError, match="not empty"):
        evaluate_model(model, cases, tmp_path / "full")
    assert not (tmp_path / "report").exists()


@pytest.mark.slow
def test_train_and_evaluate_on_the_command_line(lab, cases, model, tmp_path):
    config, out = tmp_path / "train.toml", tmp_path / "small"
    config.write_text(lab.toml_of(lab.settings()), encoding="utf-8")
    done = run("train", "--data", cases, "--out", out, "--config", config, "--seed", 3, "--device", "cpu")
    assert done.returncode == 0, done.stderr
    assert (out / "model.safetensors").read_bytes() == (model / "model.safetensors").read_bytes()
    assert done.stderr == ""
    report = tmp_path / "report"
    done = run("evaluate", "--model", out, "--data", cases, "--out", report, "--budget", "5%", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    assert all(f"{m.name} " in done.stdout for m in METHODS)
    assert (report / "report.html").exists()
    again = run("train", "--data", cases, "--out", out, "--config", config)
    assert (again.returncode, again.stderr.count("\n")) == (1, 1)
    assert "holds files already" in again.stderr


def test_a_use_case_trains_by_a_settings_file(lab, cases, model, tmp_path):
    config = tmp_path / "train.toml"
    config.write_text(lab.toml_of(lab.settings()), encoding="utf-8")
    folder = train_model(cases, tmp_path / "small", config, seed=3, device="cpu")
    assert load_model(folder).spec == load_model(model).spec
