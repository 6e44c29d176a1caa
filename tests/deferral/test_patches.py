from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_deferredseg.core.geometry import Geometry
from napari_deferredseg.deferral.data.cases import PreparedCase
from napari_deferredseg.deferral.data.patches import Cases, PatchData, Patches
from napari_deferredseg.deferral.data.train_settings import DataConfig

SHAPE = (5, 20, 26)


class Four(NamedTuple):
    image: torch.Tensor
    reference: torch.Tensor
    known: torch.Tensor
    valid: torch.Tensor


def four(case, cut):
    arrays = case.arrays
    return Four(*(cut(a.load()) for a in (arrays.image, arrays.reference, arrays.known, arrays.valid)))


def image_of(case, cut):
    return cut(case.arrays.image.load())


def reference_of(case, cut):
    return cut(case.arrays.reference.load())


def made(folder, shape=SHAPE, number=0):
    """A case whose every array tells where each voxel is: its number, from 1."""
    case = PreparedCase(folder, f"c{number}", "p", "training", Geometry(shape=shape, spacing=(1, 1, 1)), {}, ())
    folder.mkdir(parents=True, exist_ok=True)
    where = np.arange(1, np.prod(shape) + 1, dtype=np.float32).reshape(shape)
    case.arrays.image.save(np.stack([where, -where]))
    case.arrays.reference.save((where % 7 == 0).astype(np.uint8))
    case.arrays.known.save(np.ones(shape, np.bool_))
    case.arrays.valid.save(np.stack([np.ones(shape, np.bool_), where % 2 == 0]))
    return case


@pytest.fixture(scope="module")
def numbered(tmp_path_factory):
    return [made(tmp_path_factory.mktemp("numbered") / str(n), number=n) for n in range(3)]


def config(patch, flips=(), share=0.5):
    return DataConfig(spatial_dims=len(patch), patch=patch, flip_axes=flips, foreground_share=share)


@settings(deadline=None, max_examples=40)
@given(
    patch=st.one_of(st.tuples(*[st.integers(8, 40)] * 2), st.tuples(*[st.integers(8, 30)] * 3)),
    flips=st.sets(st.sampled_from((0, 1, 2))),
    seed=st.integers(0, 2**31),
    number=st.integers(0, 10_000),
)
def test_all_arrays_are_cut_at_one_place_and_nothing_is_known_outside(numbered, patch, flips, seed, number):
    patches = Patches(numbered, four, config(patch, tuple(flips)), seed, number + 1)
    one, again = patches[number], patches[number]
    assert all(map(torch.equal, one, again))
    where = one.image[0]
    assert where.shape == patch
    assert torch.equal(one.image[1], -where)
    assert torch.equal(one.reference.bool(), (where % 7 == 0) & (where > 0))
    assert torch.equal(one.known, where > 0)
    assert torch.equal(one.valid[0], where > 0)
    assert torch.equal(one.valid[1], (where % 2 == 0) & (where > 0))
    size = SHAPE[-len(patch) :]
    assert int((where > 0).sum()) == np.prod(np.minimum(patch, size))


def test_flips_mirror_the_whole_patch(numbered):
    plain = Patches(numbered[:1], image_of, config((8, 20, 26)), 0, 60)[0][0]
    axes = [(), (0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)]
    mirrored = [plain.flip(a) if a else plain for a in axes]
    drawn = Patches(numbered[:1], image_of, config((8, 20, 26), (0, 1, 2)), 0, 60)
    found = {next(i for i, m in enumerate(mirrored) if torch.equal(drawn[n][0], m)) for n in range(60)}
    assert len(found) == 8


def test_other_numbers_and_seeds_give_other_patches(numbered):
    first, other = (Patches(numbered, image_of, config((8, 8)), seed, 50) for seed in (1, 2))
    corners = [float(first[i][0, 0, 0]) for i in range(50)]
    assert len(set(corners)) > 30
    assert corners != [float(other[i][0, 0, 0]) for i in range(50)]


def test_the_wanted_share_is_centred_on_labels(tmp_path):
    case = made(tmp_path, (3, 60, 60))
    spot = np.zeros((3, 60, 60), np.uint8)
    spot[1, 40, 44] = 1
    case.arrays.reference.save(spot)

    def share(wanted):
        patches = Patches([case], reference_of, config((8, 8), share=wanted), 0, 200)
        return np.mean([bool(patches[i].any()) for i in range(200)])

    assert share(1.0) > 0.9  # a plane of three holds the spot, eight planes are tried
    assert 0.3 < share(0.5) < 0.7
    assert share(0.0) < 0.1


def test_validation_patches_are_the_same_at_any_time_and_never_flipped(numbered):
    data = PatchData(Cases(numbered, numbered), image_of, config((8, 20, 26), (0, 1, 2)), batch=4, batches=2, seed=7)
    first, again = (list(data.val_dataloader()) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    plain = Patches(numbered[:1], image_of, config((8, 20, 26)), 0, 1)[0]
    assert all(torch.equal(one, plain) for batch in first for one in batch)
    assert sum(len(b) for b in data.train_dataloader()) == 8


def test_a_patch_knows_how_long_its_voxels_are(tmp_path):
    case = replace(made(tmp_path), geometry=Geometry(shape=SHAPE, spacing=(0.5, 0.7, 5.0)))
    for patch, lengths in (((8, 8, 8), (5.0, 0.7, 0.5)), ((8, 8), (0.7, 0.5))):
        found = Patches([case], lambda case, cut: cut.spacing(case), config(patch), 0, 1)[0]
        assert found.tolist() == pytest.approx(lengths)
