from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from napari.layers import Labels

from napari_deferredseg.core.boxes import bounding_box, slices
from napari_deferredseg.widgets.viewer.tracked import TrackedArray, reset_undo

SHAPE = (5, 6, 7)
MASKS = arrays.arrays(bool, SHAPE)
INTEGERS = arrays.integer_array_indices(SHAPE, result_shape=arrays.array_shapes(max_dims=2, max_side=4))
BASIC = arrays.basic_indices(SHAPE)


def tracked():
    return TrackedArray(np.zeros(SHAPE, np.uint8))


@settings(deadline=None)
@given(st.lists(st.one_of(BASIC, INTEGERS, MASKS), min_size=1, max_size=3))
def test_the_box_holds_every_write(keys):
    array = tracked()
    for key in keys:
        array[key] = 1
    written, changed = bounding_box(np.asarray(array) != 0), array.take_changed()
    if written is None:
        assert changed is None or not any("newaxis" in str(k) or k is None for k in keys)
    else:
        inside = np.zeros(SHAPE, bool)
        inside[slices(changed)] = True
        assert np.all(inside[slices(written)])
    assert array.take_changed() is None


@settings(deadline=None)
@given(st.one_of(st.tuples(*[st.slices(n) for n in SHAPE]), INTEGERS))
def test_the_box_is_no_larger_than_the_write(key):
    array = tracked()
    array[key] = 1
    assert array.take_changed() == bounding_box(np.asarray(array) != 0)


@settings(deadline=None)
@given(MASKS)
def test_the_box_of_a_mask_is_the_masks(mask):
    array = tracked()
    array[mask] = 1
    assert array.take_changed() == bounding_box(mask)


def test_two_writes_make_one_box():
    array = tracked()
    array[1, 2, 3] = 1
    array[..., 5] = 2
    array[3:1] = 9
    assert array.take_changed() == ((0, 5), (0, 6), (3, 6))


def test_it_shares_memory_and_its_parts_are_plain():
    stored = np.zeros(SHAPE, np.uint16)
    array = TrackedArray(stored.transpose(2, 0, 1))
    array[6, 0, 0] = 5
    assert stored[0, 0, 6] == 5
    assert array.take_changed() == ((6, 7), (0, 1), (0, 1))
    for part in (array[1:3], array[0], array[array > 0], array.copy(), array.T, array + 1):
        part[...] = 3
    assert type(array[1:3]) is np.ndarray
    assert array.take_changed() is None


def test_only_volumes_are_tracked():
    with pytest.raises(ValueError, match="three axes"):
        TrackedArray(np.zeros((2, 3), np.uint8))


@pytest.mark.parametrize("mode", ["paint", "pan_zoom", "polygon"])
@pytest.mark.parametrize("editable", [True, False])
def test_reset_undo_forgets_both_ways_and_keeps_the_tool(mode, editable):
    layer = Labels(tracked())
    layer.mode, layer.selected_label = mode, 4
    layer.paint((1, 2, 3), 4)
    layer.paint((1, 5, 5), 4)
    layer.undo()
    layer.editable = editable
    mode = str(layer.mode)
    before = layer.data.copy()
    reset_undo(layer)
    layer.redo()
    layer.undo()
    np.testing.assert_array_equal(layer.data, before)
    assert (str(layer.mode), layer.selected_label, layer.editable) == (mode, 4, editable)
