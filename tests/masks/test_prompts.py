"""Boxes from a mask: every connected part of a slice, and nothing else, lies in one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.geometry import Geometry
from napari_deferredseg.core.scan import SliceBox
from napari_deferredseg.core.volume import LabelMap, LabelTable, table_from_names
from napari_deferredseg.masks.prompts import SPECK, boxes_of, in_terms_of

LABELS = arrays.arrays(np.uint8, st.tuples(*3 * (st.integers(1, 7),)), elements=st.sampled_from([0, 0, 0, 2, 5]))


@given(LABELS, st.integers(0, 2))
def test_each_part_has_the_smallest_box_around_it(labels, margin):
    wanted = set()
    for z, plane in enumerate(labels):
        for value in np.unique(plane[plane > 0]):
            parts, _ = ndimage.label(plane == value, np.ones((3, 3)))
            for number, (rows, columns) in enumerate(ndimage.find_objects(parts), start=1):
                if (parts == number).sum() >= SPECK:
                    spans = [
                        (max(s.start - margin, 0), min(s.stop + margin, n))
                        for s, n in zip((rows, columns), plane.shape, strict=True)
                    ]
                    wanted.add(SliceBox(int(value), z, *spans))
    found = boxes_of(labels, margin)
    assert set(found) == wanted
    assert len(found) == len(wanted)


def test_parts_of_two_labels_that_touch_have_a_box_each():
    labels = np.zeros((1, 6, 8), np.uint16)
    labels[0, 1:5, 1:4], labels[0, 1:5, 4:7] = 3, 400
    assert boxes_of(labels) == (SliceBox(3, 0, (1, 5), (1, 4)), SliceBox(400, 0, (1, 5), (4, 7)))


def prompt(*values, names=None):
    array = np.zeros((1, 4, 8), np.uint16)
    for number, value in enumerate(values):
        array[0, :, 2 * number] = value
    table = table_from_names(names) if names else LabelTable()
    return LabelMap(array, Geometry(shape=array.shape, spacing=(1, 1, 1)), "prompt.nrrd", table)


NAMED = table_from_names({1: "liver", 300: "Spleen"})


@pytest.mark.parametrize(
    ("mask", "table", "becomes", "left_out"),
    [
        (prompt(1, 300), NAMED, {1: 1, 300: 300}, ()),
        (prompt(1, 7), NAMED, {1: 1, 7: 0}, ("label 7",)),
        (prompt(1, 2, names={1: "spleen", 2: "Liver"}), NAMED, {1: 300, 2: 1}, ()),
        (prompt(1, 2, names={1: "aorta", 2: "Liver"}), NAMED, {1: 0, 2: 1}, ("aorta",)),
        (prompt(1, 2, names={1: "aorta"}), table_from_names({1: "label 1", 2: "label 2"}), {1: 1, 2: 2}, ()),
        (prompt(), NAMED, {}, ()),
    ],
    ids=["by value", "an unknown value", "by name", "an unknown name", "names on one side only", "nothing in it"],
)
def test_a_prompt_speaks_of_what_the_model_knows(mask, table, becomes, left_out):
    before = mask.array.copy()
    array, unknown = in_terms_of(table, mask)
    assert unknown == left_out
    assert {int(v): int(array[before == v][0]) for v in np.unique(before) if v} == becomes
    assert not array[before == 0].any()
    np.testing.assert_array_equal(mask.array, before)


def test_a_prompt_without_anything_the_model_knows_is_a_line():
    with pytest.raises(InputError, match=r"prompt\.nrrd: holds aorta, label 9, the model draws liver, Spleen; name or"):
        in_terms_of(NAMED, prompt(1, 9, names={1: "aorta"}))
