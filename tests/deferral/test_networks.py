from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.deferral.data.segmentor_settings import NetworkConfig
from napari_deferredseg.deferral.data.train_settings import DataConfig
from napari_deferredseg.deferral.networks.builders import build_network, try_network
from napari_deferredseg.deferral.networks.sliding import over_volume
from napari_deferredseg.deferral.routers.base import Routing
from napari_deferredseg.deferral.routers.network import NetworkRouter, entropy, router_features

CPU = torch.device("cpu")
SMALL = {"channels": [4, 8], "strides": [2], "num_res_units": 0, "norm": "batch"}


@pytest.fixture(scope="module")
def flat():
    torch.manual_seed(0)
    return build_network(NetworkConfig(arguments=SMALL), 2, 2, 3).eval()


@pytest.fixture(scope="module")
def deep():
    torch.manual_seed(0)
    return build_network(NetworkConfig(arguments=SMALL), 3, 1, 2).eval()


def image(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize(
    ("name", "arguments"),
    [("UNet", SMALL), ("SegResNet", {"init_filters": 8}), ("AttentionUnet", {"channels": [4, 8], "strides": [2]})],
)
def test_networks_of_monai_map_a_patch(dims, name, arguments):
    network = build_network(NetworkConfig(name=name, arguments=arguments), dims, 2, 5)
    try_network(network, 2, 5, (16,) * dims)
    assert network.training


@pytest.mark.parametrize("name", ["Unet3000", "torch", "monai_unet", "nn.Module", "UNet.__init__", "", "os"])
def test_what_is_no_network_of_monai_is_refused(name):
    with pytest.raises(InputError, match="is no network of MONAI"):
        build_network(NetworkConfig(name=name), 2, 1, 2)


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        ("UNet", {"channels": [4, 8], "stride": [2]}, "stride"),
        ("UNet", {"channels": [4], "strides": []}, "channels"),
        ("UNet", SMALL | {"norm": "soothing"}, "network.arguments of UNet"),
        ("UNet", SMALL | {"in_channels": 7}, "in_channels"),
        ("VNet", {"act": "none of these"}, "network.arguments of VNet"),
        ("Generator", {}, "takes no spatial_dims"),
        ("FlexibleUNet", {"backbone": "efficientnet-b0", "pretrained": True}, "not fetched"),
        ("DenseNet121", {"pretrained": True}, "not fetched"),
    ],
)
def test_arguments_that_do_not_fit_are_said_in_one_line(name, arguments, says):
    with pytest.raises(InputError, match=says) as error:
        build_network(NetworkConfig(name=name, arguments=arguments), 2, 1, 2)
    assert "\n" not in str(error.value)


def test_a_patch_that_does_not_fit_and_a_classifier_are_found_before_training():
    network = build_network(NetworkConfig(arguments=SMALL), 2, 1, 2)
    with pytest.raises(InputError, match=r"UNet makes shape .* of a patch of \[15, 16\] voxels, .* strides"):
        try_network(network, 1, 2, (15, 16))
    deeper = {"channels": [4, 8, 8], "strides": [2, 2]}
    network = build_network(NetworkConfig(arguments=deeper), 2, 1, 2)
    with pytest.raises(InputError, match=r"UNet cannot take a patch of \[18, 16\] voxels"):
        try_network(network, 1, 2, (18, 16))
    classifier = build_network(NetworkConfig(name="DenseNet121", arguments={}), 2, 1, 2)
    with pytest.raises(InputError, match="not a map of the patch"):
        try_network(classifier, 1, 2, (64, 64))


def test_where_one_window_is_enough_it_is_the_network_itself(flat, deep):
    plane = image(2, 1, 24, 32)
    found = over_volume(flat, plane, DataConfig(spatial_dims=2, patch=(24, 32)), CPU)
    with torch.inference_mode():
        assert np.allclose(found[:, 0], flat(torch.from_numpy(plane[:, 0])[None])[0].numpy(), atol=1e-5)
    block = image(1, 8, 16, 12)
    found = over_volume(deep, block, DataConfig(spatial_dims=3, patch=(8, 16, 12)), CPU)
    with torch.inference_mode():
        assert np.allclose(found, deep(torch.from_numpy(block)[None])[0].numpy(), atol=1e-5)


@settings(deadline=None, max_examples=15)
@given(slices=st.integers(1, 37), height=st.integers(5, 40), width=st.integers(5, 40))
def test_a_2d_network_sees_slice_by_slice(flat, slices, height, width):
    config = DataConfig(spatial_dims=2, patch=(16, 24))
    volume = image(2, slices, height, width)
    whole = over_volume(flat, volume, config, CPU)
    assert whole.shape == (3, slices, height, width)
    for z in {0, slices // 2, slices - 1}:
        assert np.allclose(whole[:, z], over_volume(flat, volume[:, z : z + 1], config, CPU)[:, 0], atol=1e-5)


@settings(deadline=None, max_examples=10)
@given(shape=st.tuples(st.integers(1, 20), st.integers(3, 30), st.integers(3, 30)))
def test_windows_blend_without_gaps_or_seams(shape):
    def pointwise(x: torch.Tensor) -> torch.Tensor:
        return torch.cat([2 * x, -x], dim=1)

    volume = image(1, *shape)
    for config in (DataConfig(spatial_dims=3, patch=(8, 8, 8)), DataConfig(spatial_dims=2, patch=(8, 12))):
        found = over_volume(pointwise, volume, config, CPU)
        assert np.allclose(found, np.concatenate([2 * volume, -volume]), atol=1e-5)


def test_cases_of_a_batch_do_not_see_each_other(flat):
    batch = torch.from_numpy(image(5, 2, 16, 24))
    with torch.inference_mode():
        together = flat(batch)
        assert all(torch.allclose(flat(batch[i : i + 1])[0], together[i], atol=1e-5) for i in range(5))


@given(classes=st.integers(2, 6), seed=st.integers(0, 1000))
def test_entropy_is_0_where_sure_and_1_where_all_are_alike(classes, seed):
    sure = torch.eye(classes)[None, :, :, None]
    assert entropy(sure).max() == 0
    alike = torch.full((1, classes, 2, 2), 1 / classes)
    assert torch.allclose(entropy(alike), torch.ones(1, 1, 2, 2))
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(1, classes, 3, 3, generator=generator).softmax(1)
    assert ((entropy(drawn) > 0) & (entropy(drawn) <= 1 + 1e-6)).all()


def test_the_router_sees_probabilities_margin_and_entropy():
    logits = torch.tensor([[[[0.0, 20.0]], [[0.0, 0.0]], [[-50.0, -50.0]]]])
    seen = router_features(torch.full((1, 2, 1, 2), 7.0), logits)
    assert seen.shape == (1, 2 + 3 + 2, 1, 2)
    assert (seen[:, :2] == 7).all()
    assert torch.allclose(seen[0, 2:5, 0, 0], torch.tensor([0.5, 0.5, 0.0]), atol=1e-6)
    assert seen[0, 5, 0].tolist() == [0, 1]
    assert seen[0, 6, 0, 0] == pytest.approx(math.log(2) / math.log(3), abs=1e-4)
    assert torch.equal(router_features(torch.zeros(1, 1, 1, 2), logits + 3)[:, 1:], seen[:, 2:])


@pytest.mark.parametrize("experts", [1, 2, 5])
def test_routing_has_channels_for_all_agents_and_one_for_deferral(experts):
    router = NetworkRouter(NetworkConfig(arguments=SMALL), 2, 1, 2, experts)
    channels = router(torch.zeros(2, 1, 16, 16), torch.zeros(2, 2, 16, 16))
    routing = Routing.of(channels)
    assert routing.scores.shape == routing.competence.shape == (2, experts + 1, 16, 16)
    assert routing.defer.shape == (2, 1, 16, 16)
    assert torch.equal(torch.cat(routing, dim=1), channels)
