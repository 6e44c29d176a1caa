from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from napari_deferredseg.core.errors import Damaged
from napari_deferredseg.store.codec import decode, encode, fingerprint

SHAPES = arrays.array_shapes(min_dims=3, max_dims=3, min_side=0, max_side=9)
CROPS = st.sampled_from([np.bool_, np.uint8, np.uint16]).flatmap(lambda dtype: arrays.arrays(dtype, SHAPES))


@given(CROPS)
def test_round_trip(array):
    back = decode(encode(array))
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    assert np.array_equal(back, array)
    assert back.flags.writeable


@given(CROPS, st.data())
def test_a_changed_or_lost_byte_never_gives_other_values(array, data):
    packed = encode(array)
    place = data.draw(st.integers(0, len(packed) - 1))
    changed = bytearray(packed)
    changed[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(Damaged):
        decode(packed[:place])
    try:
        back = decode(bytes(changed))
    except Damaged:
        return
    # An empty crop has no values, and its shape may be any with a zero in it; zlib's own header has spare bits.
    assert np.array_equal(back, array) or back.size == array.size == 0


@given(CROPS)
def test_views_and_byte_orders_are_the_same_values(array):
    mirrored = array[:, ::-1].copy()[:, ::-1]
    assert encode(mirrored) == encode(array)
    assert fingerprint(mirrored) == fingerprint(array)
    swapped = array.astype(array.dtype.newbyteorder(">"))
    assert np.array_equal(decode(encode(swapped)), array)
    assert fingerprint(swapped) == fingerprint(array)


@given(CROPS, CROPS)
def test_fingerprints_tell_arrays_apart(a, b):
    same = a.dtype == b.dtype and a.shape == b.shape and np.array_equal(a, b)
    assert (fingerprint(a) == fingerprint(b)) == same


def test_a_mask_takes_a_bit_a_voxel():
    noise = np.random.default_rng(0).random((20, 50, 60)) < 0.5
    assert len(encode(noise)) < 20 * 50 * 60 / 8 * 1.02 + 64


@pytest.mark.parametrize("array", [np.zeros((2, 2)), np.zeros((2, 2, 2), np.float32), np.zeros((1, 1, 1), object)])
def test_other_arrays_are_refused(array):
    with pytest.raises(ValueError, match="neither a mask nor a label crop"):
        encode(array)


def test_a_forged_shape_does_not_fill_the_memory():
    bomb = zlib.compress(bytes(10_000_000), 9)
    for shape in ((1, 1, 1), (2**31, 2**31, 2**31)):
        with pytest.raises(Damaged):
            decode(struct.pack("<4sB3I16s", b"DSA1", 1, *shape, bytes(16)) + bomb)
