from __future__ import annotations

import pytest
import torch

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.deferral.data import devices


def test_every_device_that_is_named_can_be_used() -> None:
    names = devices.present()
    assert names[-1] == "cpu"
    for name in names:
        device = devices.pick(name)
        assert torch.ones(3, device=device).sum().item() == 3
        assert "\n" not in devices.describe(device)


def test_auto_is_the_best_there_is() -> None:
    best = devices.pick()
    assert str(best) == devices.present()[0]
    assert best == devices.pick(" AUTO ")
    if torch.cuda.is_available():
        assert best.type == "cuda"
        assert devices.pick("cuda") == best


@pytest.mark.parametrize("name", ["cuda:99", "tpu", "", "cpu:1", "meta"])
def test_an_absent_device_is_refused_with_those_there_are(name: str) -> None:
    with pytest.raises(InputError, match="use auto, ") as caught:
        devices.pick(name)
    assert devices.present()[-1] in str(caught.value)


def test_half_precision_computes_where_it_is_offered() -> None:
    for name in devices.present():
        device = devices.pick(name)
        dtype = devices.autocast_dtype(device)
        assert dtype in (None, torch.bfloat16)
        if dtype is not None:
            with torch.autocast(device.type, dtype):
                product = torch.full((8, 8), 1e30, device=device) @ torch.eye(8, device=device)
            assert product.dtype == dtype
            assert torch.isfinite(product).all()
