"""Recording readers for a list of cases, and generating data sets."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from napari_deferredseg.core.datalist import SPLITS
from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.geometry import Geometry
from napari_deferredseg.core.volume import Volume, table_from_names
from napari_deferredseg.io.datalist import read_datalist
from napari_deferredseg.io.images import read_labels, read_volume, write_labels, write_volume
from napari_deferredseg.usecases.simulate import DEFAULT_READERS, make_phantoms, parse_reader, simulate_readers

GRID = Geometry(shape=(10, 20, 24), spacing=(1.5, 2.0, 3.0), origin=(4.0, -3.0, 80.0))
TABLE = table_from_names({1: "liver", 2: "spleen"})


def write_cases(folder: Path, names: list[str], suffix: str = ".nii.gz") -> Path:
    """Cases of one image and one label each, in a folder of their own, so that all files are called alike."""
    cases = []
    for number, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        label = np.zeros(GRID.shape, np.uint8)
        label[2:8, 4:16, 3 : 10 + number] = 1
        label[3:7, 5:12, 15:21] = 2
        write_volume(folder / name / f"image{suffix}", Volume(label.astype(np.int16) * 50, GRID, name))
        write_labels(folder / name / f"label{suffix}", label, GRID, TABLE)
        cases.append({"image": f"{name}/image{suffix}", "label": f"{name}/label{suffix}", "site": "north"})
    path = folder / "cases.json"
    path.write_text(json.dumps({"training": cases[1:], "test": cases[:1]}))
    return path


def masks(file: Path) -> dict[tuple[str, str], np.ndarray]:
    datalist = read_datalist(file)
    return {
        (case.image[0].parent.name, reader): read_labels(path).array
        for split in SPLITS
        for case in datalist.split(split)
        for reader, path in case.experts.items()
    }


def test_the_list_is_complete_and_valid(tmp_path):
    data = write_cases(tmp_path / "data", ["a", "b", "c"])
    recorded = simulate_readers(data, tmp_path / "new" / "out")
    assert recorded.counts == {"training": 2, "validation": 0, "test": 1}
    before, after = read_datalist(data), read_datalist(recorded.file)
    assert after.experts() == tuple(sorted(r.name for r in DEFAULT_READERS))
    assert after.labels == {1: "liver", 2: "spleen"}
    assert {path.name for path in tmp_path.iterdir()} == {"data", "new"}
    files = set()
    for split in SPLITS:
        for old, new in zip(before.split(split), after.split(split), strict=True):
            assert new.image[0].resolve() == old.image[0].resolve()
            assert new.label.resolve() == old.label.resolve()
            assert new.groups == {"site": "north"}
            for path in new.experts.values():
                assert read_labels(path).geometry.same_grid(GRID)
                assert read_labels(path).table.name(2) == "spleen"
            files |= {path.resolve() for path in new.experts.values()}
    assert len(files) == 3 * 4
    assert not Path(json.loads(recorded.file.read_text())["test"][0]["image"]).is_absolute()


def test_the_data_may_move_with_what_was_recorded(tmp_path):
    recorded = simulate_readers(write_cases(tmp_path / "x" / "data", ["a", "b"]), tmp_path / "x" / "out")
    shutil.move(tmp_path / "x", tmp_path / "y")
    assert len(read_datalist(tmp_path / "y" / recorded.file.relative_to(tmp_path / "x")).experts()) == 4


def test_a_reading_does_not_depend_on_the_other_cases_and_readers(tmp_path):
    data = write_cases(tmp_path / "data", ["a", "b", "c"])
    every = masks(simulate_readers(data, tmp_path / "all", seed=4).file)
    cases = json.loads(data.read_text())
    turned = data.with_name("turned.json")
    turned.write_text(json.dumps({"validation": [*cases["test"], *cases["training"][::-1]]}))
    for number, readers in enumerate((DEFAULT_READERS[::-1], DEFAULT_READERS[1:2])):
        some = masks(simulate_readers(turned, tmp_path / f"some{number}", readers, seed=4).file)
        assert some
        for key, mask in some.items():
            np.testing.assert_array_equal(mask, every[key])
    other = masks(simulate_readers(data, tmp_path / "other", seed=5).file)
    assert sum((other[key] != every[key]).any() for key in every) > len(every) / 2


def test_readers_are_added_to_those_there(tmp_path):
    first = simulate_readers(write_cases(tmp_path / "data", ["a"]), tmp_path / "one", [parse_reader("Ada:border")])
    second = simulate_readers(first.file, tmp_path / "two", [parse_reader("Ben Okafor:inside")])
    assert read_datalist(second.file).experts() == ("Ada", "Ben Okafor")
    assert list(second.accuracy) == ["Ben Okafor"]


def test_a_reading_is_the_same_wherever_the_files_lie(tmp_path):
    cases = write_cases(tmp_path / "data", ["a"])
    near = simulate_readers(cases, tmp_path / "near")
    elsewhere = shutil.copytree(tmp_path / "data", tmp_path / "another" / "place")
    (tmp_path / "list").mkdir()
    content = json.loads((elsewhere / cases.name).read_text())
    for case in content["test"]:
        for part in ("image", "label"):
            case[part] = str(elsewhere / case[part])
    (tmp_path / "list" / "cases.json").write_text(json.dumps(content))
    far = simulate_readers(tmp_path / "list" / "cases.json", tmp_path / "far")
    here, there = (read_datalist(made.file).test[0].experts for made in (near, far))
    for name, path in here.items():
        np.testing.assert_array_equal(read_labels(path).array, read_labels(there[name]).array)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha", ".nii"])
def test_masks_are_written_as_the_labels_are(tmp_path, suffix):
    recorded = simulate_readers(write_cases(tmp_path / "data", ["a"], suffix), tmp_path / "out")
    (case,) = read_datalist(recorded.file).test
    assert {path.suffix for path in case.experts.values()} == {suffix}


@pytest.mark.data
def test_a_real_ct_keeps_its_grid_and_labels(data, tmp_path):
    ct = data / "abdomen_ct"
    (tmp_path / "cases.json").write_text(
        json.dumps({"test": [{"image": str(ct / "ct_small.nii.gz"), "label": str(ct / "ct_small_ai_mask_a.nii.gz")}]})
    )
    recorded = simulate_readers(tmp_path / "cases.json", tmp_path / "out")
    (case,) = read_datalist(recorded.file).test
    truth, geometry = read_labels(case.label), read_volume(case.image[0]).geometry
    for path in case.experts.values():
        mask = read_labels(path)
        assert mask.geometry.same_grid(geometry)
        assert set(np.unique(mask.array)) <= set(np.unique(truth.array))
        assert 0.005 < (mask.array != truth.array).mean() < 0.2


@pytest.mark.data
def test_slices_as_png(data, tmp_path):
    brain = data / "brain_growth_7raters"
    cases = [
        {"image": str(brain / f"case{n:02d}_image.png"), "label": str(brain / f"case{n:02d}_rater1.png")}
        for n in range(1, 30)
    ]
    (tmp_path / "cases.json").write_text(json.dumps({"training": cases}))
    recorded = simulate_readers(tmp_path / "cases.json", tmp_path / "out")
    for profile in DEFAULT_READERS:
        assert recorded.accuracy[profile.name] == pytest.approx(
            (profile.inside, profile.border, profile.outside), abs=0.06
        )
    for case in read_datalist(recorded.file).training:
        for path in case.experts.values():
            mask = read_labels(path)
            assert mask.geometry.same_grid(read_labels(case.label).geometry)
            assert not mask.geometry.orientation_known
            assert set(np.unique(mask.array)) <= {0, 255}


def test_phantoms_are_split_by_patient(tmp_path):
    recorded = make_phantoms(tmp_path / "out", cases=5, size="small", readers=DEFAULT_READERS[:2])
    assert recorded.counts == {"training": 3, "validation": 1, "test": 1}
    datalist = read_datalist(recorded.file)
    assert datalist.table.find("liver lesion").value == 6
    cases = [case for split in SPLITS for case in datalist.split(split)]
    assert len({case.patient for case in cases}) == 5
    for case in cases:
        volume = read_volume(case.image[0])
        assert set(case.groups) == {"phase"}
        assert len(case.experts) == 2
        assert all(read_labels(p).geometry.same_grid(volume.geometry) for p in (case.label, *case.experts.values()))


def test_stopping_leaves_nothing(tmp_path):
    def stop(share: float, doing: str) -> None:
        if share > 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_phantoms(tmp_path / "out", cases=3, size="small", readers=DEFAULT_READERS[:1], progress=stop)
    assert not list(tmp_path.iterdir())


def test_a_label_that_cannot_be_read_leaves_nothing(tmp_path):
    data = write_cases(tmp_path / "data", ["a", "b"])
    (tmp_path / "data" / "a" / "label.nii.gz").write_bytes(b"\x1f\x8b nothing")
    with pytest.raises(InputError, match=r"label\.nii\.gz"):
        simulate_readers(data, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


@pytest.mark.parametrize("text", ["Ada", ":border", "../x:border", "a/b:inside", "x.:inside", "Ada:", "Ada:left"])
def test_a_reader_that_is_none(text):
    with pytest.raises(InputError, match="choose one of" if text.startswith("Ada:") else "NAME:WHERE"):
        parse_reader(text)


def test_the_prompt_of_a_case_goes_along(tmp_path):
    data = write_cases(tmp_path / "data", ["a", "b"])
    content = json.loads(data.read_text("utf-8"))
    content["training"][0]["prompt"] = content["training"][0]["label"]
    data.write_text(json.dumps(content), "utf-8")
    simulate_readers(data, tmp_path / "read", DEFAULT_READERS, 0)
    found = read_datalist(tmp_path / "read" / "cases.json")
    assert found.training[0].prompt.samefile(read_datalist(data).training[0].prompt)
    assert found.test[0].prompt is None
