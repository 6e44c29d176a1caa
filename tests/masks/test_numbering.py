"""Which structures of two masks differ by their number alone."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_deferredseg.masks.numbering import compare_numbers

blocks = st.integers(1, 5).flatmap(lambda n: st.permutations(range(1, n + 1)))


def drawn(numbers, kind=np.uint8):
    """Blocks of 6 x 6 x 6 voxels side by side, numbered."""
    array = np.zeros((8, 8, 8 * len(numbers)), kind)
    for place, number in enumerate(numbers):
        array[1:7, 1:7, 8 * place + 1 : 8 * place + 7] = number
    return array


@settings(deadline=None, max_examples=60)
@given(blocks, st.sampled_from([0, 1, 40, 250, 300]), st.booleans())
def test_every_structure_under_another_number_is_found_and_no_other(order, shift, ragged):
    """Permuted and shifted numbers, from either side, with borders that differ by a voxel or not."""
    plain = sorted(order)
    here, there = drawn(plain), drawn([n + shift for n in order], np.uint16)
    if ragged:
        there[1, :, :] = 0
    found, back = compare_numbers(here, there), compare_numbers(there, here)
    expected = [(a, b + shift) for a, b in zip(plain, order, strict=True) if a != b + shift]
    assert [(t.value, t.other) for t in found.twins] == expected
    assert sorted((t.other, t.value) for t in back.twins) == expected
    assert all(t.dice == (10 / 11 if ragged else 1) for t in found.twins)
    assert found.here == dict.fromkeys(plain, 216)
    assert found.nothing_in_common == (not {n + shift for n in order} & set(plain))


def test_what_is_drawn_elsewhere_or_in_part_is_no_twin():
    here = drawn([1, 2])
    half = here.copy()
    half[1:4][half[1:4] == 2] = 3
    assert compare_numbers(here, half).twins == ()
    assert compare_numbers(here, np.roll(drawn([2, 1]), 4, 2)).twins == ()
    empty = compare_numbers(here, np.zeros_like(here))
    assert (empty.twins, empty.there, empty.nothing_in_common) == ((), {}, False)
