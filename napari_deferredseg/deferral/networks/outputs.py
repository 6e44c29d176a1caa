"""What somebody else's network makes of a window of an image, checked before it is believed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.deferral.networks.builders import first_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import nn


def map_of(output: Any) -> Tensor:
    """Map of the window that a network returned: the output itself, or the first of several."""
    while isinstance(output, list | tuple | dict) and output:
        output = next(iter(output.values() if isinstance(output, dict) else output))
    if not isinstance(output, Tensor):
        raise InputError(f"the segmentor's network returns a {type(output).__name__}, not a map of the patch")
    return output


def class_logits(output: Any, image: Tensor, labels: int, kind: str, name: str) -> Tensor:
    """Logits (B, labels + 1, *spatial) of a window; `kind` is "logits", or "foreground-logit" for a single one.

    Raises
    ------
    InputError
        The network, of this `name`, makes something else.
    """
    found = map_of(output)
    wanted = 1 if kind == "foreground-logit" else labels + 1
    if found.shape[:2] != (len(image), wanted) or found.shape[2:] != image.shape[2:]:
        raise InputError(
            f"{name} makes {list(found.shape)} of a patch {list(image.shape)}, not {wanted} channels of it; correct "
            "segmentor.labels or segmentor.output"
        )
    return torch.cat([torch.zeros_like(found), found], dim=1) if wanted == 1 else found


def try_window(
    logits: Callable[[Tensor], Tensor], network: nn.Module, channels: int, patch: Sequence[int], name: str
) -> None:
    """Ask for the logits of an empty window, before hours are spent on it. InputError when there are none."""
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    try:
        with torch.inference_mode():
            logits(torch.zeros(1, channels, *patch, device=device))
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"{name} cannot take a patch of {channels} channels and {list(patch)} voxels: {first_line(error)}"
        ) from error
