from __future__ import annotations

import json
import tracemalloc

import nibabel as nib
import numpy as np
import pytest

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.geometry import Geometry
from napari_deferredseg.core.progress import silent
from napari_deferredseg.core.volume import LabelTable, Volume
from napari_deferredseg.deferral.data.intensity import normalised
from napari_deferredseg.deferral.data.prepared import prepare
from napari_deferredseg.deferral.data.train_settings import DataConfig
from napari_deferredseg.io.datalist import read_datalist
from napari_deferredseg.io.images import read_labels, write_labels, write_volume

FLAT = {"spatial_dims": 2, "patch": (16, 16)}
RATERS = 7


@pytest.fixture
def brain(data, tmp_path):
    """Prepare slices that seven experts drew; `drop` names experts who are absent from a case."""

    def make(consensus="majority", drop=(), count=2, work="work"):
        folder = data / "brain_growth_7raters"
        listed = []
        for number in range(1, count + 1):
            experts = {
                f"rater{j}": str(folder / f"case{number:02d}_rater{j}.png")
                for j in range(1, RATERS + 1)
                if (number, j) not in drop
            }
            listed.append({"image": str(folder / f"case{number:02d}_image.png"), "experts": experts})
        path = tmp_path / "brain.json"
        path.write_text(json.dumps({"training": listed}), encoding="utf-8")
        return prepare(read_datalist(path), DataConfig(**FLAT, consensus=consensus), tmp_path / work, silent)

    return make


@pytest.mark.data
def test_pngs_of_0_and_255_have_two_classes(brain, data):
    prepared = brain()
    assert [x.value for x in prepared.table.labels] == [255]
    assert prepared.experts == tuple(f"rater{j}" for j in range(1, 8))
    case = prepared.cases[0]
    drawn = np.stack(
        [read_labels(data / "brain_growth_7raters" / f"case01_rater{j}.png").array > 0 for j in range(1, RATERS + 1)]
    )
    assert np.array_equal(case.arrays.experts.load(), drawn)
    assert np.array_equal(case.arrays.reference.load(), drawn.sum(axis=0) > RATERS / 2)
    assert np.array_equal(case.arrays.right.load(), drawn == (drawn.sum(axis=0) > RATERS / 2))
    assert case.arrays.known.load().all()
    assert case.arrays.image.load().shape == (1, 1, 128, 128)
    assert abs(float(case.arrays.image.load().mean())) < 1e-4
    assert float(case.arrays.image.load().std()) == pytest.approx(1, abs=1e-3)


@pytest.mark.data
def test_an_absent_reader_answers_nowhere_and_has_no_vote(brain):
    case = brain(drop={(1, 7)}).cases[0]
    valid = case.arrays.valid.load()
    assert not valid[6].any()
    votes = case.arrays.experts.load()[:6].sum(axis=0)
    assert np.array_equal(case.arrays.known.load(), votes != 3)  # six readers may be at odds
    assert np.array_equal(case.arrays.reference.load()[case.arrays.known.load()], (votes > 3)[case.arrays.known.load()])
    assert np.array_equal(valid[:6], np.broadcast_to(case.arrays.known.load(), valid[:6].shape))


@pytest.mark.data
def test_leave_one_out_judges_nobody_by_their_own_vote(brain):
    case = brain("leave-one-out").cases[0]
    experts, right = case.arrays.experts.load(), case.arrays.right.load()
    for j in range(RATERS):
        others = np.delete(experts, j, axis=0).sum(axis=0)
        clear = others != 3
        assert np.array_equal(right[j][clear], (experts[j] == (others > 3))[clear])
    assert right.mean() < brain("majority", work="other").cases[0].arrays.right.load().mean()


@pytest.mark.data
def test_leave_one_out_asks_for_somebody_else(brain):
    alone = {(1, j) for j in range(2, 8)}
    case = brain("leave-one-out", drop=alone).cases[0]
    assert case.arrays.known.load().all()
    assert not case.arrays.valid.load().any()
    with pytest.raises(InputError, match="two readers or more"):
        brain("leave-one-out", drop=alone, count=1)


@pytest.mark.data
def test_staple_trusts_the_better_readers_more(brain):
    majority, staple = (brain(c, work=c).cases[0].arrays.reference.load() for c in ("majority", "staple"))
    assert 0 < np.count_nonzero(majority != staple) < 0.1 * np.count_nonzero(majority)


@pytest.mark.data
def test_many_labels_of_a_ct_are_classes_in_order(data, tmp_path):
    folder = data / "abdomen_ct"
    image, first, second = (next(folder.glob(f"ct_small{end}.nii.gz")) for end in ("", "*_a", "*_b"))
    listed = {"training": [{"image": str(image), "label": str(first), "experts": {"B": str(second)}}]}
    values = np.union1d(np.unique(read_labels(first).array), np.unique(read_labels(second).array))
    listed["labels"] = {str(v): f"organ {v}" for v in values if v}  # type: ignore[assignment]
    path = tmp_path / "ct.json"
    path.write_text(json.dumps(listed), encoding="utf-8")
    case = prepare(read_datalist(path), DataConfig(), tmp_path / "work", silent).cases[0]
    assert np.array_equal(values[case.arrays.reference.load()], read_labels(first).array)
    assert np.array_equal(values[case.arrays.experts.load()[0]], read_labels(second).array)
    assert np.array_equal(case.arrays.right.load()[0], read_labels(first).array == read_labels(second).array)


def test_a_label_that_no_reference_names_is_refused(lab, tmp_path):
    path = lab.write_cases(tmp_path / "cases", counts=(1, 1, 0))
    content = json.loads(path.read_text(encoding="utf-8"))
    mask = path.parent / content["training"][0]["experts"]["Ada"]
    found = read_labels(mask)
    write_labels(mask, np.where(found.array > 0, 9, 0).astype(np.uint8), found.geometry, found.table)
    with pytest.raises(InputError, match=rf"{mask.name}: holds label 9"):
        prepare(read_datalist(path), DataConfig(**FLAT), tmp_path / "work", silent)


def test_a_mask_of_another_grid_and_other_channels_are_refused(lab, tmp_path):
    path = lab.write_cases(tmp_path / "cases", counts=(2, 1, 0))
    content = json.loads(path.read_text(encoding="utf-8"))
    other = lab.write_cases(tmp_path / "other", counts=(1, 0, 0), shape=(1, 20, 24))
    content["training"][0]["experts"]["Ada"] = str(other.parent / "0_Ada.nii.gz")
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(InputError, match="is not on the grid"):
        prepare(read_datalist(path), DataConfig(**FLAT), tmp_path / "work", silent)
    path = lab.write_cases(tmp_path / "cases", counts=(2, 1, 0), channels=2)
    content = json.loads(path.read_text(encoding="utf-8"))
    content["validation"][0]["image"] = content["validation"][0]["image"][:1]
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(InputError, match="has 1 channels, 2 were expected"):
        prepare(read_datalist(path), DataConfig(**FLAT), tmp_path / "work", silent)


def test_outside_the_support_nobody_answers(lab, tmp_path):
    path = lab.write_cases(tmp_path / "cases", counts=(4, 0, 0), absent=True, labels=False)
    prepared = prepare(read_datalist(path), DataConfig(**FLAT), tmp_path / "work", silent)
    listed = json.loads(path.read_text(encoding="utf-8"))["training"]
    for number, (case, one) in enumerate(zip(prepared.cases, listed, strict=True)):
        valid = case.arrays.valid.load()
        for j, name in enumerate(prepared.experts):
            assert valid[j].any() == (name in one["experts"])
        assert valid[..., 12:].any() == (number % 2 == 1)
        assert not (valid & ~case.arrays.known.load()).any()
        assert case.arrays.known.load()[..., 12:].any() == (number % 2 == 1)


def test_readers_of_no_listed_case_have_no_channel(lab, tmp_path):
    path = lab.write_cases(tmp_path / "cases", counts=(1, 1, 1))
    content = json.loads(path.read_text(encoding="utf-8"))
    content["test"][0]["experts"]["Zoe"] = content["test"][0]["experts"]["Ada"]
    path.write_text(json.dumps(content), encoding="utf-8")
    work = tmp_path / "work"
    assert prepare(read_datalist(path), DataConfig(**FLAT), work, silent, ("training",)).experts == lab.readers
    assert "Zoe" in prepare(read_datalist(path), DataConfig(**FLAT), work, silent).experts


def test_what_is_written_is_kept_and_what_changed_is_written_anew(lab, tmp_path):
    path = lab.write_cases(tmp_path / "cases", counts=(2, 0, 0))

    def made(**more):
        prepared = prepare(read_datalist(path), DataConfig(**FLAT, **more), tmp_path / "work", silent)
        return prepared.digest, [(c.folder / "image.npy").stat().st_mtime_ns for c in prepared.cases]

    digest, times = made()
    assert made() == (digest, times)
    windowed, later = made(intensity="window")
    assert windowed == digest
    assert all(new > old for new, old in zip(later, times, strict=True))
    mask = path.parent / "1_Ada.nii.gz"
    found = read_labels(mask)
    write_labels(mask, np.roll(found.array, 2, axis=1), found.geometry, found.table)
    other, last = made(intensity="window")
    assert other != digest
    assert (last[0], last[1] > later[1]) == (later[0], True)


def test_memory_does_not_grow_with_the_number_of_cases(lab, tmp_path):
    few, many = (lab.write_cases(tmp_path / str(n), counts=(n, 0, 0), shape=(8, 48, 48)) for n in (3, 24))
    peaks: list[int] = []
    for path in (few, few, many):  # the first one imports and caches
        datalist = read_datalist(path)
        tracemalloc.start()
        prepared = prepare(datalist, DataConfig(patch=(8, 16, 16)), tmp_path / f"work{len(peaks)}", silent)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert len(prepared.cases) in (3, 24)
    assert peaks[2] < peaks[1] * 1.2


def test_windowed_and_broken_grey_values():
    image = np.array([[[[-1000.0, -160, 20, 240, 3000]]]], np.float32)
    assert np.allclose(normalised(image, "window", (-160, 240)).ravel(), [-1, -1, -0.1, 1, 1])
    image[..., 0] = np.nan
    assert normalised(image, "window", (-160, 240)).ravel()[0] == -1
    scored = normalised(np.stack([image[0], image[0] * 100]), "z-score", (0, 1))
    assert np.isfinite(scored).all()
    assert np.allclose(scored[0], scored[1], atol=1e-5)
    assert not normalised(np.full((1, 2, 2, 2), np.inf), "z-score", (0, 1)).any()
    assert not normalised(np.full((1, 2, 2, 2), 7, np.int16), "z-score", (0, 1)).any()


def test_masks_stored_in_another_order_are_turned_and_it_is_told(tmp_path):
    grid = Geometry(shape=(9, 8, 10), spacing=(0.8, 0.8, 2.0))
    mask = np.random.default_rng(0).integers(0, 2, grid.shape).astype(np.uint8)
    image = Volume(np.random.default_rng(1).normal(size=grid.shape).astype(np.float32), grid, "made")
    write_volume(tmp_path / "image.nii.gz", image)
    write_labels(tmp_path / "as_the_image.nii.gz", mask, grid, LabelTable())
    one = nib.load(tmp_path / "as_the_image.nii.gz")
    turn = nib.orientations.ornt_transform(nib.io_orientation(one.affine), nib.orientations.axcodes2ornt("SAR"))
    nib.save(one.as_reoriented(turn), tmp_path / "turned.nii.gz")
    said: list[str] = []
    prepared = {}
    for name in ("as_the_image", "turned"):
        file = f"{name}.nii.gz"
        case = {"image": "image.nii.gz", "label": file, "prompt": file, "experts": {"a": file}, "support": {"a": file}}
        (tmp_path / "cases.json").write_text(json.dumps({"training": [case]}), encoding="utf-8")
        config = DataConfig(patch=(8, 8, 8))
        found = prepare(read_datalist(tmp_path / "cases.json"), config, tmp_path / name, silent, tell=said.append)
        prepared[name] = found.cases[0]
        assert len(said) == (0 if name == "as_the_image" else 4)
    assert all("in another order" in note for note in said)
    for name in ("reference", "experts", "valid", "prompt"):
        assert np.array_equal(
            getattr(prepared["turned"].arrays, name).load(), getattr(prepared["as_the_image"].arrays, name).load()
        ), name
    assert np.array_equal(prepared["turned"].arrays.reference.load(), mask)
