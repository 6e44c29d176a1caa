"""Boxes from a mask: every connected part of a slice, and nothing else, lies in one."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage

from napari_deferredseg.core.scan import SliceBox
from napari_deferredseg.masks.prompts import SPECK, boxes_of

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
