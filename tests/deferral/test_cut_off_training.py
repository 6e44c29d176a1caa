from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.io.images import read_labels, write_labels

CHILD = Path(__file__).with_name("child_train.py")


class Cut(Exception):
    pass


def cut_at(step, error=Cut):
    def stop(share: float, doing: str) -> None:
        if doing.startswith(step):
            raise error

    return stop


def files(folder):
    return {name: (folder / name).read_bytes() for name in ("model.safetensors", "model.json", "CARD.md")}


def test_a_killed_run_goes_on_where_it_was_and_ends_alike(lab, cases, model, tmp_path):
    out, config = tmp_path / "small", tmp_path / "train.toml"
    config.write_text(lab.toml_of(lab.settings()), encoding="utf-8")
    done = subprocess.run([sys.executable, CHILD, cases, config, out, "segmentor: step 8 of"], check=False)
    assert done.returncode == 9
    kept = {p.name: p.stat().st_mtime_ns for p in (out / "work").glob("*.safetensors")}
    assert set(kept) == {"fold 1.safetensors", "fold 2.safetensors"}
    told = []

    def tell(share: float, doing: str) -> None:
        told.append(doing)
        for name, time in kept.items():
            if (out / "work" / name).exists():
                assert (out / "work" / name).stat().st_mtime_ns == time

    lab.train(cases, out, progress=tell)
    assert not any(doing.startswith("fold") for doing in told)
    steps = [int(doing.split()[2]) for doing in told if doing.startswith("segmentor")]
    assert steps[0] == 7  # the last validation was after step 6
    assert files(out) == files(model)


@pytest.mark.parametrize("step", ["fold 1: step 2 ", "fold 2: step 12 ", "router: step 6 ", "case 2", "saving"])
def test_wherever_it_is_cut_off_the_end_is_the_same(lab, cases, model, tmp_path, step):
    out = tmp_path / "small"
    with pytest.raises(Cut):
        lab.train(cases, out, progress=cut_at(step))
    assert [p.name for p in out.iterdir()] == ["work"]
    lab.train(cases, out)
    assert files(out) == files(model)


def test_a_run_that_died_between_its_last_files_is_finished(lab, cases, model, tmp_path):
    out = tmp_path / "small"
    with pytest.raises(Cut):
        lab.train(cases, out, progress=cut_at("saving"))
    (out / "model.safetensors").write_bytes(b"half")
    (out / "log").mkdir()
    lab.train(cases, out)
    assert files(out) == files(model)
    assert {p.name for p in out.iterdir()} == {p.name for p in model.iterdir()}


def test_ctrl_c_stops_it_and_works_again_afterwards(lab, cases, tmp_path):
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        lab.train(cases, tmp_path / "small", progress=cut_at("fold 1: step 3", KeyboardInterrupt))
    assert signal.getsignal(signal.SIGINT) is handler


def test_another_run_does_not_go_on_in_this_one(lab, tmp_path):
    cases = lab.write_cases(tmp_path / "cases")
    out = tmp_path / "small"
    with pytest.raises(Cut):
        lab.train(cases, out, progress=cut_at("fold 2: step 1 "))
    with pytest.raises(InputError, match="other settings"):
        lab.train(cases, out, lab.settings(fit__batch=2))
    with pytest.raises(InputError, match="other settings"):
        lab.train(cases, out, seed=4)
    mask = cases.parent / "1_Ada.nii.gz"
    found = read_labels(mask)
    before = mask.read_bytes()
    write_labels(mask, found.array[:, ::-1].copy(), found.geometry, found.table)
    with pytest.raises(InputError, match="other data"):
        lab.train(cases, out)
    mask.write_bytes(before)
    assert (lab.train(cases, out) / "model.json").exists()
