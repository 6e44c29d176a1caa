"""What every segmentor promises; a new adapter joins by one line in `SEGMENTORS`."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
from torch import nn

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.geometry import Geometry
from napari_deferredseg.core.scan import Scan, SliceBox
from napari_deferredseg.core.volume import Volume
from napari_deferredseg.deferral.data.grids import model_geometry
from napari_deferredseg.deferral.data.segmentor_settings import (
    BundleConfig,
    ModuleConfig,
    NetworkConfig,
    NnunetConfig,
    SamConfig,
    View,
)
from napari_deferredseg.deferral.data.train_settings import DataConfig
from napari_deferredseg.deferral.networks.builders import build_network
from napari_deferredseg.deferral.segmentors.bundle.segmentor import BundleSegmentor
from napari_deferredseg.deferral.segmentors.module import ModuleSegmentor
from napari_deferredseg.deferral.segmentors.monai import MonaiSegmentor
from napari_deferredseg.deferral.segmentors.nnunet.segmentor import NnunetSegmentor, make_network
from napari_deferredseg.deferral.segmentors.sam.embeddings import EmbeddingCache
from napari_deferredseg.deferral.segmentors.sam.segmentor import SamSegmentor

if TYPE_CHECKING:
    from napari_deferredseg.deferral.segmentors.base import Segmentor

CPU = torch.device("cpu")
CLASSES = 3
SMALL = {"channels": [4, 8], "strides": [2], "num_res_units": 0}
COARSE = (2.0, 3.0, 2.5)
MiB = 2**20


class Foreign(nn.Module):
    """Somebody's network: several outputs, its classes in another order than the table's."""

    def __init__(self, dims: int) -> None:
        super().__init__()
        convolution = nn.Conv2d if dims == 2 else nn.Conv3d
        self.first = convolution(1, 4, 3, padding=1)
        self.last = convolution(4, CLASSES, 1)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        found = self.last(self.first(image).relu())
        return found, found * 0


def monai(dims: int, spacing) -> MonaiSegmentor:
    data = DataConfig(spatial_dims=dims, patch=(16,) * dims, spacing_mm=spacing)
    return MonaiSegmentor(build_network(NetworkConfig(arguments=SMALL), dims, 1, CLASSES).eval(), data, 1, CLASSES)


def module(dims: int, spacing) -> ModuleSegmentor:
    config = ModuleConfig(
        kind="module",
        factory="a:b",
        labels=("spleen", "liver"),
        view=View(spatial_dims=dims, patch=(16,) * dims, spacing_mm=(1.5, 1.5, 1.5)),
    )
    return ModuleSegmentor(Foreign(dims).eval(), config, (2, 1), spacing)


def bundle(dims: int, spacing) -> BundleSegmentor:
    config = BundleConfig(
        kind="bundle",
        transforms=({"name": "Orientationd", "axcodes": "RAS"}, {"name": "NormalizeIntensityd"}),
        patch=(16, 16, 16),
        labels=("spleen", "liver"),
        channels=1,
        output="logits",
    )
    return BundleSegmentor(Foreign(dims).eval(), config, (2, 1), spacing)


def nnunet(dims: int, spacing) -> NnunetSegmentor:
    """Two folds on mirrored images; classes in another order than the table's."""
    pytest.importorskip("nnunetv2")
    resampling = {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None}
    layers = {"conv_op": f"torch.nn.modules.conv.Conv{dims}d", "norm_op": f"torch.nn.InstanceNorm{dims}d"}
    configuration = {
        "spacing": [1.5, 1.2, 1.4][-dims:],
        "patch_size": [16, 32, 32][-dims:],
        "preprocessor_name": "DefaultPreprocessor",
        "normalization_schemes": ["ZScoreNormalization"],
        "use_mask_for_norm": [False],
        **{f"resampling_fn_{what}": "resample_data_or_seg_to_shape" for what in ("data", "seg", "probabilities")},
        **{f"resampling_fn_{what}_kwargs": resampling for what in ("data", "probabilities")},
        "resampling_fn_seg_kwargs": resampling | {"is_seg": True},
        "architecture": {
            "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
            "arch_kwargs": {
                **layers,
                "n_stages": 2,
                "features_per_stage": [4, 8],
                "kernel_sizes": [[3] * dims] * 2,
                "strides": [[1] * dims, [2] * dims],
                "n_conv_per_stage": [1, 1],
                "n_conv_per_stage_decoder": [1],
                "norm_op_kwargs": {"affine": True},
                "nonlin": "torch.nn.LeakyReLU",
            },
            "_kw_requires_import": [*layers, "nonlin"],
        },
    }
    config = NnunetConfig.model_validate(
        {
            "kind": "nnunet",
            "folds": [0, 1],
            "mirror_axes": range(dims),
            "plans": {
                "image_reader_writer": "SimpleITKIO",
                "transpose_forward": [0, 1, 2],
                "transpose_backward": [0, 1, 2],
                "foreground_intensity_properties_per_channel": {"0": {"mean": 0}},
                "configurations": {"some": configuration},
            },
            "dataset": {
                "channel_names": {"0": "CT"},
                "labels": {"background": 0, "spleen": 1, "liver": 2, "ignore": 3},
            },
        }
    )
    return NnunetSegmentor(make_network(config), config, (2, 1), spacing)


def tiny_sam() -> Sam:
    """Segment Anything with every part that the published sizes have, for squares of 128 voxels."""
    side, patch, width = 128, 16, 256
    places = (side // patch, side // patch)
    encoder = ImageEncoderViT(
        img_size=side,
        patch_size=patch,
        embed_dim=32,
        depth=2,
        num_heads=2,
        use_rel_pos=True,
        window_size=3,
        global_attn_indexes=(1,),
        out_chans=width,
    )
    prompts = PromptEncoder(width, places, (side, side), mask_in_chans=16)
    decoder = MaskDecoder(
        transformer_dim=width, transformer=TwoWayTransformer(depth=2, embedding_dim=width, num_heads=8, mlp_dim=64)
    )
    made = Sam(encoder, prompts, decoder, [123.675, 116.28, 103.53], [58.395, 57.12, 57.375])
    for name, weight in made.named_parameters():
        if "rel_pos" in name or "pos_embed" in name:
            nn.init.normal_(weight, std=0.5)
    return made.eval()


def sam(dims: int, spacing, path="plain") -> SamSegmentor:
    nowhere = EmbeddingCache(Path(__file__) / "nowhere", 0)
    return SamSegmentor(tiny_sam(), SamConfig(kind="sam", path=path), (1, 2), spacing, nowhere)


def sam_fast(dims: int, spacing) -> SamSegmentor:
    return sam(dims, spacing, "fast")


SEGMENTORS = {
    "sam": (sam, (2,)),
    "sam-fast": (sam_fast, (2,)),
    "monai": (monai, (2, 3)),
    "module": (module, (2, 3)),
    "bundle": (bundle, (3,)),
    "nnunet": (nnunet, (2, 3)),
}


@pytest.fixture(
    params=[(name, dims) for name, (_, known) in SEGMENTORS.items() for dims in known], ids=lambda x: f"{x[0]}-{x[1]}d"
)
def make(request):
    name, dims = request.param

    def made(spacing=None) -> Segmentor:
        torch.manual_seed(0)
        return SEGMENTORS[name][0](dims, spacing)  # type: ignore[return-value]

    return made


def scan(shape=(7, 30, 22), seed=0, spacing=(1.0, 1.5, 2.0)) -> Scan:
    array = np.random.default_rng(seed).normal(40, 20, shape).astype(np.float32)
    boxes = tuple(
        SliceBox(label, z, (label, shape[1] // 2 + label), (0, shape[2] // label))
        for z in range(shape[0])
        for label in (1, 2)
    )
    return Scan(Volume(array, Geometry(shape=shape, spacing=spacing), "made"), boxes)


@pytest.mark.parametrize("spacing", [None, COARSE])
def test_one_finite_map_a_class_on_the_model_s_grid(make, spacing):
    made = scan()
    found = make(spacing).segment(made, CPU)
    assert found.shape == (CLASSES, *model_geometry(made.volume.geometry, spacing).shape)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()


def test_voxels_that_were_not_measured_leave_the_logits_finite(make):
    made = scan()
    made.volume.array[:, :4] = np.nan
    made.volume.array[2, 10, 10] = np.inf
    found = make().segment(made, CPU)
    assert np.isfinite(found).all()
    assert found.std() > 0


def test_the_volume_is_not_changed(make):
    made = scan()
    before = made.volume.array.copy()
    make().segment(made, CPU)
    np.testing.assert_array_equal(made.volume.array, before)


def test_the_same_volume_gets_the_same_logits_whatever_ran_before(make):
    segmentor = make()
    first = segmentor.segment(scan(), CPU)
    segmentor.segment(scan((3, 40, 17), seed=5), CPU)
    np.testing.assert_array_equal(segmentor.segment(scan(), CPU), first)


def test_a_single_slice_and_a_thin_volume_can_be_segmented(make):
    for shape in ((1, 20, 20), (2, 9, 40)):
        assert make().segment(scan(shape), CPU).shape == (CLASSES, *shape)


def test_batches_do_not_mix_what_lies_in_them(make, monkeypatch):
    """However many windows go through the network at once, the logits are the same but for rounding."""
    from napari_deferredseg.deferral.networks import sliding
    from napari_deferredseg.deferral.segmentors.sam import slices as sam_slices

    volume = scan((9, 40, 33))
    many = make().segment(volume, CPU)
    monkeypatch.setattr(sliding, "WINDOWS", 1)
    monkeypatch.setattr(sliding, "SLICES", 2)
    monkeypatch.setattr(sam_slices, "AHEAD", 2)
    np.testing.assert_allclose(make().segment(volume, CPU), many, atol=1e-4)


def test_a_wrong_number_of_channels_is_a_line(make):
    two = Volume(
        np.zeros((2, 4, 20, 20), np.float32), Geometry(shape=(4, 20, 20), spacing=(1, 1, 1)), "two", ("a", "b")
    )
    with pytest.raises(InputError, match="has 2 channels"):
        make().segment(Scan(two), CPU)


def test_every_weight_is_in_the_network_and_moves_with_it(make):
    segmentor = make()
    whole = segmentor.segment(scan(), CPU)
    for weight in segmentor.network.parameters():
        weight.data.mul_(2)
    assert not np.array_equal(segmentor.segment(scan(), CPU), whole)
    segmentor.network.to("meta")
    assert {p.device.type for p in segmentor.network.parameters()} == {"meta"}


def test_memory_grows_no_faster_than_the_logits(make):
    volume = scan((24, 96, 96), spacing=(1.0, 1.0, 1.0))
    segmentor = make()
    segmentor.segment(scan(), CPU)
    tracemalloc.start()
    try:
        found = segmentor.segment(volume, CPU)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 6 * found.nbytes + 4 * MiB
