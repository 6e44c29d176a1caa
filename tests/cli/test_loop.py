"""The headless loop on a real CT, every command a process of its own as somebody would type it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import SimpleITK as sitk

from napari_deferredseg.core.records import State
from napari_deferredseg.io.images import read_labels, write_labels
from napari_deferredseg.usecases.project import open_project

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def ct(data: Path) -> Path:
    return data / "abdomen_ct" / "ct_small.nii.gz"


@pytest.fixture(scope="module")
def masks(data: Path) -> tuple[Path, Path]:
    folder = data / "abdomen_ct"
    return folder / "ct_small_ai_mask_a.nii.gz", folder / "ct_small_ai_mask_b.nii.gz"


@pytest.fixture(scope="module")
def project(shell, tmp_path_factory, ct, masks) -> Path:
    """A project with three readers in which a run was made, all by commands."""
    folder = tmp_path_factory.mktemp("loop") / "my project"
    said = shell("project", "init", folder)
    assert (said.code, said.err) == (0, "")
    first, second = said.out.splitlines()
    assert first == f"Made project 'my project' in {folder.resolve()}"
    assert second.endswith("is its admin; no regions are routed to an admin without a capacity")
    for words in (
        ("Ada Moreau", "--capacity", 20, "--speciality", "label 5", "--speciality", "label 2", "--role", "reader"),
        ("Ben Ökonom [b] :smile:", "--capacity", 40, "--role", "lead", "--group", "abdomen", "--login", "ben"),
        ("Chen Li", "--capacity", 60, "--group", "abdomen", "--group", "night"),
    ):
        said = shell("reader", "add", *words, "--project", folder)
        assert (said.code, said.err) == (0, "")
        assert said.out.startswith(f"Added {words[0]} (login ")
    said = run(shell, folder, ct, masks)
    assert said.code == 0
    assert said.err.startswith("note: The labels have no names: a small table beside the mask gives them")
    assert all(line.startswith("note: ") for line in said.err.splitlines())
    return folder


def run(tool, folder: Path, ct: Path, masks: tuple[Path, Path], *more: object):
    labels = (word for mask in masks for word in ("--labels", mask))
    return tool("run", ct, "-p", folder, *labels, *more)


def worklists(tool, folder: Path) -> dict[str, list[dict]]:
    return {
        reader: json.loads(tool("worklist", "--reader", reader, "-p", folder, "--json").out)
        for reader in ("ada.moreau", "ben", "chen.li")
    }


def test_readers_are_listed_as_they_were_added(shell, project):
    said = shell("reader", "list", "-p", project)
    assert (said.code, said.err) == (0, "")
    rows = [line.split() for line in said.out.splitlines()]
    assert rows[0] == ["login", "name", "min", "a", "day", "specialities", "role", "groups"]
    assert rows[1] == ["ada.moreau", "Ada", "Moreau", "20", "label", "5,", "label", "2", "reader", "-"]
    assert rows[2] == ["ben", "Ben", "Ökonom", "[b]", ":smile:", "40", "-", "lead", "abdomen"]
    assert rows[3] == ["chen.li", "Chen", "Li", "60", "-", "reader", "abdomen,", "night"]


def test_every_region_is_on_one_worklist_and_specialists_get_their_label(shell, project):
    lists = worklists(shell, project)
    places = [(line["case"], line["number"]) for lines in lists.values() for line in lines]
    with open_project(project) as opened:
        items = opened.store.items()
        shape = opened.store.cases()[0].geometry.shape
    assert sorted(places) == sorted((item.case.key, item.region.number) for item in items)
    assert len(set(places)) == len(places) > 20
    assert {item.region.id for item in items} == {line["id"] for lines in lists.values() for line in lines}
    assert lists["ada.moreau"], "the specialist has nothing to read"
    assert {line["labels"][0] for line in lists["ada.moreau"]} <= {"label 5", "label 2"}
    for lines in lists.values():
        assert [line["number"] for line in lines] == sorted(line["number"] for line in lines)
        for line in lines:
            assert line["state"] == "open"
            assert all(0 <= lo < hi <= n for (lo, hi), n in zip(line["box_zyx"], shape, strict=True))
            assert line["slices"] == [line["box_zyx"][0][0], line["box_zyx"][0][1] - 1]
            assert line["volume_mm3"] > 0
            assert line["minutes"] > 0


def test_the_worklist_table_says_what_the_json_says(shell, type_in, project):
    said = shell("worklist", "--reader", "Chen Li", "-p", project)
    assert (said.code, said.err) == (0, "")
    header, *rows = said.out.splitlines()
    assert header.split() == ["case", "region", "labels", "mm3", "min", "slices", "state", "note"]
    lines = worklists(type_in, project)["chen.li"]
    assert [row.split()[:2] for row in rows] == [[line["case"], str(line["number"])] for line in lines]
    assert [row.split()[-2:] for row in rows] == [["open", "-"] for _ in lines]


def test_the_same_run_again_changes_nothing(shell, type_in, project, ct, masks):
    before = worklists(type_in, project)
    said = run(shell, project, ct, masks)
    assert said.code == 0
    assert "nothing was changed" in said.out
    assert f"{sum(map(len, before.values()))} regions" in said.out
    assert worklists(type_in, project) == before


def test_another_budget_replaces_and_the_first_one_comes_back(type_in, project, ct, masks):
    def boxes() -> list[list[list[int]]]:
        return sorted(line["box_zyx"] for lines in worklists(type_in, project).values() for line in lines)

    first = boxes()
    assert " 4 regions" in run(type_in, project, ct, masks, "--budget", 4, "--unit", "regions").out.splitlines()[0]
    assert len(boxes()) == 4
    said = run(type_in, project, ct, masks, "--budget", "0.1")
    assert "nothing was changed" not in said.out
    assert boxes() == first
    with open_project(project) as opened:
        assert {item.assignment.state for item in opened.store.items()} == {State.OPEN}


def test_without_corrections_the_export_is_the_first_mask_on_the_grid_of_the_image(shell, project, ct, masks, tmp_path):
    out = tmp_path / ("a long name of a folder " * 4) / "corrected"
    said = shell("export", "-p", project, "--out", out)
    assert (said.code, said.err) == (0, "")
    header, row = said.out.splitlines()
    (file,) = out.glob("*.nii.gz")
    assert str(file) in row
    assert header.split() == ["case", "file", "corrections", "regions", "waiting"]
    image, source, mask = (sitk.ReadImage(str(x)) for x in (file, ct, masks[0]))
    np.testing.assert_array_equal(sitk.GetArrayViewFromImage(image), sitk.GetArrayViewFromImage(mask))
    assert image.GetPixelID() == mask.GetPixelID()
    assert image.GetSize() == source.GetSize()
    for of in ("GetSpacing", "GetOrigin", "GetDirection"):
        np.testing.assert_allclose(getattr(image, of)(), getattr(source, of)(), rtol=0, atol=1e-6)
    provenance = json.loads((out / f"{file.name.removesuffix('.nii.gz')}.provenance.json").read_text("utf-8"))
    assert provenance["model"] == "external:labels"
    assert provenance["corrections"] == []


def test_probabilities_in_place_of_a_second_mask(shell, type_in, ct, masks, tmp_path):
    mask = read_labels(masks[0])
    two = np.where(mask.array == 5, 1, np.where(mask.array == 1, 2, 0)).astype(np.uint8)
    write_labels(tmp_path / "two.nii.gz", two, mask.geometry, mask.table.model_copy(update={"labels": ()}))
    channels = [sitk.GetImageFromArray((two == value).astype(np.float32)) for value in (0, 1, 2)]
    soft = [sitk.SmoothingRecursiveGaussian(channel, 1.5) for channel in channels]
    p = np.clip([sitk.GetArrayFromImage(x) for x in soft], 0, 1)
    image = sitk.GetImageFromArray(np.moveaxis(p / p.sum(0), 0, -1).astype(np.float32), isVector=True)
    image.CopyInformation(sitk.ReadImage(str(ct)))
    sitk.WriteImage(image, str(tmp_path / "soft.nrrd"))

    type_in("project", "init", tmp_path / "p")
    type_in("reader", "add", "Ada", "-p", tmp_path / "p")
    words = ("--labels", tmp_path / "two.nii.gz", "--probabilities", tmp_path / "soft.nrrd")
    said = shell("run", ct, "-p", tmp_path / "p", *words, "--budget", "5%")
    assert said.code == 0, said.err
    lines = json.loads(type_in("worklist", "--reader", "ada", "-p", tmp_path / "p", "--json").out)
    border = sitk.GetArrayFromImage(sitk.LabelContour(sitk.GetImageFromArray(two))) > 0
    assert lines
    for line in lines:
        assert border[tuple(slice(lo, hi) for lo, hi in line["box_zyx"])].any()
    type_in("export", "-p", tmp_path / "p", "-o", tmp_path / "out")
    (file,) = (tmp_path / "out").glob("*.nii.gz")
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(file))), two)


def test_two_masks_that_agree_leave_an_empty_worklist(shell, type_in, ct, masks, tmp_path):
    type_in("project", "init", tmp_path / "p")
    type_in("reader", "add", "Ada", "-p", tmp_path / "p")
    said = run(type_in, tmp_path / "p", ct, (masks[0], masks[0]))
    assert said.code == 0
    assert len(said.out.splitlines()) == 2
    assert "0 regions" in said.out
    assert "nothing speaks against" in said.out
    said = shell("worklist", "--reader", "ada", "-p", tmp_path / "p", "--json")
    assert said == (0, "[]\n", "")
    assert type_in("worklist", "--reader", "ada", "-p", tmp_path / "p") == (0, "Nothing to do.\n", "")


def test_verify_counts_the_corrections(shell, project):
    assert shell("project", "verify", project) == (0, "0 corrections, every one as it was submitted.\n", "")
