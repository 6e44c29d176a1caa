from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.geometry import Geometry
from napari_deferredseg.core.names import LONGEST, label_name
from napari_deferredseg.core.volume import Label, LabelTable, default_label
from napari_deferredseg.io.images import read_labels, write_labels
from napari_deferredseg.io.labels.tables import read_table, table_beside, write_table

if TYPE_CHECKING:
    from pathlib import Path

SNAP = """# ITK-SnAP Label Description File
    0     0    0    0        0  0  0    "Clear Label"
    1   255    0   10        1  1  1    "Left lung"
    7     0  255    0        0.5  1  1  "Spleen"
"""
GRID = Geometry(shape=(1, 2, 2), spacing=(1, 1, 1))


def written(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_text(text, encoding=encoding)
    return path


def accepted(name: str) -> bool:
    try:
        return label_name(name) == name
    except ValueError:
        return False


RUN = ("=", "+", "-", "@", "\uff1d", "'=", "''+", "=cmd|'/c calc'!A1", "-1+2")  # what a spreadsheet takes for a formula
letters = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), max_size=LONGEST - 20)
names = st.builds("".join, st.tuples(st.sampled_from(("", *RUN)), letters)).filter(accepted)
labels = st.builds(Label, value=st.integers(1, 65535), name=names, color=st.tuples(*[st.integers(0, 255)] * 3))
tables = st.lists(labels, max_size=8, unique_by=lambda x: x.value).map(
    lambda xs: LabelTable(labels=tuple(sorted(xs, key=lambda x: x.value)))
)


@settings(max_examples=50, deadline=None)
@given(table=tables)
def test_a_table_comes_back(tmp_path_factory, table: LabelTable) -> None:
    path = tmp_path_factory.mktemp("table") / "a.labels.csv"
    write_table(path, table)
    assert read_table(path) == table
    assert list(path.parent.iterdir()) == [path]


@settings(max_examples=25, deadline=None)
@given(table=tables)
def test_slicer_keys_in_an_nrrd_come_back(tmp_path_factory, table: LabelTable) -> None:
    path = tmp_path_factory.mktemp("nrrd") / "a.nrrd"
    write_labels(path, np.zeros(GRID.shape, np.uint8), GRID, table)
    (path.parent / "a.labels.csv").unlink()
    assert read_labels(path).table == table


@pytest.mark.parametrize("name", RUN)
def test_no_cell_of_a_table_is_a_formula(tmp_path: Path, name: str) -> None:
    table = LabelTable(labels=(default_label(1, name),))
    write_table(tmp_path / "a.csv", table)
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as f:
        cells = [cell for row in csv.reader(f) for cell in row]
    assert not [cell for cell in cells if cell[:1] in tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")]
    assert read_table(tmp_path / "a.csv") == table


NO_NAMES = (
    "  ",
    "\u3164",
    "li\x1b[2Jver",
    "li\nver",
    "li\tver",
    "a\x00b",
    "li\u202erev",
    "\u2066liver",
    "x" * 101,
    "\ue000",
)


# A line break ends the line of a text file, and no header holds one or a zero.
WAYS = [
    (form, name)
    for form, not_in_it in (("json", ""), ("nnunet", ""), ("csv", "\n"), ("txt", "\n"), ("nrrd", "\n\x00"))
    for name in NO_NAMES
    if not set(not_in_it) & set(name)
]


@pytest.mark.parametrize(("form", "name"), WAYS)
def test_what_is_no_name_of_a_label_is_refused_with_its_file(tmp_path: Path, form: str, name: str) -> None:
    path = tmp_path / f"a.{'json' if form == 'nnunet' else form}"
    if form == "nrrd":
        image = sitk.GetImageFromArray(np.ones((1, 2, 2), np.uint8))
        image.SetMetaData("Segment0_LabelValue", "1")
        image.SetMetaData("Segment0_Name", name)
        sitk.WriteImage(image, str(path))
    elif form in ("csv", "txt"):
        written(path, f"value,name\n1,{name}\n" if form == "csv" else f'1 255 0 0 1 1 1 "{name}"\n')
    else:
        written(path, json.dumps({"labels": {"1": name} if form == "json" else {"background": 0, name: 1}}))
    with pytest.raises(InputError, match=f"{path.name}.*label 1.*is no name") as caught:
        read_labels(path) if form == "nrrd" else read_table(path)
    assert str(caught.value).isprintable()


def test_names_get_single_blanks_and_the_background_needs_none(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "value,name\n0,\n1, left\u00a0 lung \n2,<b>x</b> & [bold]\n")
    assert [x.name for x in read_table(path).labels] == ["left lung", "<b>x</b> & [bold]"]


def test_files_of_slicer_name_their_segments(tmp_path: Path) -> None:
    image = sitk.GetImageFromArray(np.array([[[0, 2], [5, 5]]], np.uint8))
    for key, value in {
        "Segment0_Name": "tumour", "Segment0_LabelValue": "2", "Segment0_Color": "0.5 1 0",
        "Segment1_Name": "edema", "Segment1_LabelValue": "5",
    }.items():  # fmt: skip
        image.SetMetaData(key, value)
    sitk.WriteImage(image, str(tmp_path / "a.seg.nrrd"))
    assert read_labels(tmp_path / "a.seg.nrrd").table.labels == (
        Label(value=2, name="tumour", color=(128, 255, 0)),
        default_label(5, "edema"),
    )


def test_our_files_carry_the_keys_of_slicer(tmp_path: Path) -> None:
    table = LabelTable(labels=(Label(value=4, name="liver", color=(255, 0, 51)),))
    write_labels(tmp_path / "a.nrrd", np.full(GRID.shape, 4, np.uint8), GRID, table)
    image = sitk.ReadImage(str(tmp_path / "a.nrrd"))
    assert image.GetMetaData("Segment0_Name") == "liver"
    assert image.GetMetaData("Segment0_LabelValue") == "4"
    assert image.GetMetaData("Segment0_Color") == "1 0 0.2"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "value,name,color\n0,background,\n1,Left lung,#ff000a\n7,Spleen,#00ff00\n"),
        ("a.csv", "\ufeffvalue;name;color\r\n7;Spleen;#00FF00\r\n1;Left lung;#ff000a\r\n\r\n"),
        ("a.txt", SNAP),
        ("a.label", SNAP),
    ],
)
def test_formats_with_colours(tmp_path: Path, name: str, text: str) -> None:
    assert read_table(written(tmp_path / name, text)).labels == (
        Label(value=1, name="Left lung", color=(255, 0, 10)),
        Label(value=7, name="Spleen", color=(0, 255, 0)),
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", '{"labels": {"1": "liver", "12": "tumour"}}'),
        ("a.json", '{"labels": {"background": 0, "liver": 1, "tumour": 12}, "file_ending": ".nii.gz"}'),
        ("a.csv", "value,name\n1,liver\n12,tumour\n"),
    ],
)
def test_formats_without_colours(tmp_path: Path, name: str, text: str) -> None:
    assert read_table(written(tmp_path / name, text)).labels == (default_label(1, "liver"), default_label(12, "tumour"))


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".mha"])
def test_the_table_beside_a_mask_is_used(tmp_path: Path, suffix: str) -> None:
    mask = tmp_path / f"case.1{suffix}"
    array = np.array([[[0, 1], [3, 3]]], np.uint8)
    write_labels(mask, array, GRID, LabelTable())
    (tmp_path / "case.1.labels.csv").unlink()
    assert table_beside(mask) is None
    assert read_labels(mask).table.labels == (default_label(1), default_label(3))
    written(tmp_path / "case.1.labels.json", '{"labels": {"3": "kidney"}}')
    assert read_labels(mask).table.labels == (default_label(1), default_label(3, "kidney"))
    written(tmp_path / "case.1.labels.csv", "value,name\n3,spleen\n")
    assert read_labels(mask).table.name(3) == "spleen"


BAD = {
    "no.csv": None,
    "format.xlsx": "value,name\n1,liver\n",
    "empty.csv": "",
    "header.csv": "1,liver\n2,spleen\n",
    "twice.csv": "value,name\n1,liver\n1,spleen\n",
    "colour.csv": "value,name,color\n1,liver,red\n",
    "word.csv": "value,name\nliver,1\n",
    "large.csv": "value,name\n65536,liver\n",
    "negative.csv": "value,name\n-1,liver\n",
    "short.csv": "name,value\nliver\n",
    "broken.json": '{"labels": ',
    "list.json": "[1, 2]",
    "regions.json": '{"labels": {"whole": [1, 2]}}',
    "half.json": '{"labels": {"liver": 1.5}}',
    "yes.json": '{"labels": {"liver": true}}',
    "snap.txt": "1 255 0 0 1 1 1\n",
    "quote.txt": '1 255 0 0 1 1 1 "liver\n',
    "bright.txt": '1 256 0 0 1 1 1 "liver"\n',
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_table_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if BAD[name] is not None:
        written(path, BAD[name])
    with pytest.raises(InputError, match=name) as caught:
        read_table(path)
    assert "\n" not in str(caught.value)


def test_a_table_in_another_encoding_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="UTF-8"):
        read_table(written(tmp_path / "a.csv", "value,name\n1,Öl\n", "latin-1"))


def test_tables_are_written_as_csv_only(tmp_path: Path) -> None:
    for path in (tmp_path / "a.json", tmp_path / "none" / "a.csv"):
        with pytest.raises(InputError):
            write_table(path, LabelTable())
    assert list(tmp_path.iterdir()) == []
