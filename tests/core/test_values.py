"""Volumes, label tables, records: what they hold and what they refuse."""

from __future__ import annotations

import string
from dataclasses import replace
from datetime import UTC
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydantic import ValidationError

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.geometry import Geometry
from napari_deferredseg.core.prediction import Prediction
from napari_deferredseg.core.records import Correction, Reader, Region, Verdict, new_id, utc_now
from napari_deferredseg.core.volume import (
    LabelTable,
    Volume,
    default_label,
    labels_present,
    table_from_names,
    voxel_hash,
)

GRID = Geometry(shape=(2, 3, 4), spacing=(1, 1, 1))
KEY = b"k" * 32


@given(st.text())
def test_an_error_is_one_line(text):
    assert len(str(InputError(text)).splitlines()) <= 1


# hashes
@given(hnp.arrays(np.int16, (3, 4, 5)), st.integers(0, 59))
def test_one_voxel_changes_the_hash(array, place):
    other = array.copy()
    other.flat[place] ^= 1
    assert voxel_hash(array, KEY) == voxel_hash(array.copy(), KEY) != voxel_hash(other, KEY)


@given(hnp.arrays(np.uint8, (3, 4, 5)))
def test_memory_layout_does_not_change_the_hash_but_type_shape_and_key_do(array):
    mine = voxel_hash(array, KEY)
    assert voxel_hash(np.asfortranarray(array), KEY) == mine
    assert voxel_hash(np.pad(array, 1)[1:-1, 1:-1, 1:-1], KEY) == mine
    assert mine not in {
        voxel_hash(array.astype(np.uint16), KEY),
        voxel_hash(array.reshape(3, 5, 4), KEY),
        voxel_hash(array, b"another"),
    }


def test_the_hash_works_for_any_rank():
    arrays = [np.arange(24, dtype=np.uint8).reshape(shape) for shape in ((24,), (4, 6), (2, 3, 4), (1, 2, 3, 4))]
    assert len({voxel_hash(array, KEY) for array in arrays}) == 4


# labels
@given(hnp.arrays(st.sampled_from([np.uint8, np.uint16, np.int32]), (3, 3, 3), elements=st.integers(0, 200)))
def test_labels_present_are_the_values_but_background(array):
    assert labels_present(array) == tuple(int(v) for v in np.unique(array) if v)


@given(st.dictionaries(st.integers(0, 300), st.text(string.ascii_letters, min_size=1), max_size=8))
def test_a_table_knows_its_names_and_never_background(names):
    table = table_from_names(names)
    assert [x.value for x in table.labels] == sorted(v for v in names if v)
    for value, name in names.items():
        assert table.name(value) == (name if value else "background")
    full = table.completed([0, 7, 301])
    assert {7, 301} <= {x.value for x in full.labels}
    assert 0 not in full
    assert all(x in full.labels for x in table.labels)
    assert full.completed([7, 301]) == full


@given(
    hnp.arrays(
        st.sampled_from([np.uint8, np.uint16, np.int32]), hnp.array_shapes(max_dims=4), elements=st.integers(0, 9)
    )
)
def test_labels_present_are_those_of_numpy(array):
    assert labels_present(array) == tuple(v for v in np.unique(array).tolist() if v)
    assert labels_present(array[..., ::-1]) == labels_present(array)
    assert labels_present(array[array > 3]) == tuple(v for v in np.unique(array).tolist() if v > 3)


def test_a_label_is_found_by_name_or_value():
    table = table_from_names({3: "Left Kidney", 5: "liver"})
    assert table.find("left kidney").value == table.find("3").value == 3
    with pytest.raises(InputError, match=r"'spleen'; known labels: Left Kidney, liver"):
        table.find("spleen")
    with pytest.raises(InputError, match="known labels: none"):
        LabelTable().find("spleen")


@given(st.integers(1, 65000))
def test_neighbours_have_different_colours_in_range(value):
    a, b = default_label(value), default_label(value + 1)
    assert a.color != b.color
    assert all(0 <= c <= 255 for c in a.color)
    assert default_label(value) == a
    assert table_from_names({value: "x"}).name(value + 1) == f"label {value + 1}"


# volumes and predictions
@pytest.mark.parametrize(
    ("shape", "channels"),
    [((2, 3, 5), ()), ((3, 4), ()), ((2, 2, 3, 4), ()), ((2, 3, 4), ("a",)), ((1, 1, 2, 3, 4), ("a",))],
)
def test_a_volume_fits_its_grid_and_channels_their_names(shape, channels):
    with pytest.raises(ValueError, match=r"fit|channel"):
        Volume(np.zeros(shape), GRID, "x", channels=channels)


def test_channels_are_views():
    volume = Volume(np.zeros((2, 2, 3, 4)), GRID, "x", channels=("a", "b"))
    volume.channel(1)[...] = 1
    assert volume.array[1].all()
    assert not volume.array[0].any()
    single = Volume(np.zeros((2, 3, 4)), GRID, "x")
    assert single.channel(0) is single.array


def prediction(**changes: Any) -> Prediction:
    zeros = np.zeros(GRID.shape, np.uint8)
    facts: dict[str, Any] = {"labels": zeros, "defer": zeros.astype(np.float32), "alternative": zeros, "geometry": GRID}
    return Prediction(**(facts | {"table": LabelTable(), "model_id": "m"} | changes))


@pytest.mark.parametrize("name", ["labels", "defer", "alternative"])
def test_a_prediction_is_on_its_grid(name):
    with pytest.raises(ValueError, match=name):
        prediction(**{name: np.zeros((2, 3, 5))})


@pytest.mark.parametrize(
    "changes",
    [{"experts": ("a",)}, {"gain": np.zeros((1, *GRID.shape))}, {"experts": ("a",), "gain": np.zeros((2, 2))}],
)
def test_gain_has_a_channel_for_each_expert(changes):
    with pytest.raises(ValueError, match="gain"):
        prediction(**changes)


# records
@pytest.mark.parametrize("login", ["", " ", "a b", "ä", "../x", ".hidden", "-x", "a" * 41, "a\n", "CON:"])
def test_a_login_that_could_not_name_a_file_is_refused(login):
    with pytest.raises(ValidationError, match="is no login"):
        Reader(login=login, name="Z")


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}", fullmatch=True))
def test_every_plain_login_will_do(login):
    assert Reader(login=login, name="Z").login == login


@pytest.mark.parametrize("name", ["", "  ", "\n", "\u3164", "a\x1b[2J", "a\x00b", "a\u202eb"])
@pytest.mark.parametrize("where", ["name", "specialities", "groups"])
def test_what_people_read_can_be_seen(where, name):
    facts = {"login": "z", "name": "Z"} | {where: name if where == "name" else (name,)}
    with pytest.raises(ValidationError, match="is no name"):
        Reader(**facts)


def test_blanks_in_names_are_single():
    reader = Reader(login="z", name="  Zoë \t Ångström\n", groups=(" night  shift ",))
    assert (reader.name, reader.groups) == ("Zoë Ångström", ("night shift",))


@pytest.mark.parametrize("capacity", [-1, 1441, float("nan"), float("inf")])
def test_a_day_has_no_more_minutes(capacity):
    with pytest.raises(ValidationError):
        Reader(login="z", name="Z", capacity=capacity)


def test_unknown_fields_are_refused_and_records_do_not_change():
    with pytest.raises(ValidationError):
        Reader(login="z", name="Z", password="x")  # type: ignore[call-arg]
    with pytest.raises(ValidationError):
        Reader(login="z", name="Z").name = "Y"  # type: ignore[misc]


def region(**changes: Any) -> Region:
    facts: dict[str, Any] = {"id": new_id(), "case_key": "c", "prediction_id": "p", "number": 1, "labels": (1,)}
    facts |= {"box": ((0, 2), (0, 3), (0, 4)), "mask": np.ones((2, 3, 4), bool)}
    facts |= {"volume": 1.0, "center": (0.0, 0.0, 0.0), "gain": 0.5, "minutes": 1.0}
    return Region(**(facts | changes))


@pytest.mark.parametrize("mask", [np.ones((2, 3, 5), bool), np.ones((2, 3, 4), np.uint8)])
def test_a_mask_fills_its_box(mask):
    with pytest.raises(ValueError, match="does not fill"):
        region(mask=mask)


def correction(**changes: Any) -> Correction:
    zeros = np.zeros((2, 3, 4), np.uint8)
    facts: dict[str, Any] = {
        "id": new_id(),
        "region_id": "r",
        "case_key": "c",
        "reader": "z",
        "model_id": "m",
        "voxel_hash": "h",
    }
    facts |= {"voxel_hash": "h", "started": utc_now(), "submitted": utc_now(), "active_seconds": 1.0}
    facts |= {"verdict": Verdict.EDITED}
    facts |= {"box": ((0, 2), (0, 3), (0, 4)), "before": zeros, "after": zeros, "support": zeros.astype(bool)}
    return Correction(**(facts | changes))


def test_what_is_changed_is_answered_for():
    after = np.zeros((2, 3, 4), np.uint8)
    after[1, 1, 1] = 3
    with pytest.raises(ValueError, match="outside the support"):
        correction(after=after)
    held = correction(after=after, support=after > 0)
    assert held.after[1, 1, 1] == 3
    with pytest.raises(ValueError, match="outside the support"):
        replace(held, support=np.zeros((2, 3, 4), bool))


@pytest.mark.parametrize("name", ["before", "after", "support"])
def test_crops_fill_their_box(name):
    with pytest.raises(ValueError, match=name):
        correction(**{name: np.zeros((2, 3, 5), bool if name == "support" else np.uint8)})


def test_times_are_utc_and_ids_are_fresh():
    assert utc_now().tzinfo is UTC
    assert len({new_id() for _ in range(100)}) == 100
    assert all(c in string.hexdigits for c in new_id())
