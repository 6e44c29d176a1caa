"""The image encoder of Segment Anything: as published, and a faster way through the same weights.

The faster way adds the relative positions to queries and keys instead of to a matrix of all pairs of places (4096 x
4096 a head), so that attention needs no such matrix, and computes with half precision where the device is good at it.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_deferredseg.deferral.devices import autocast_dtype

if TYPE_CHECKING:
    from collections.abc import Iterator

    from segment_anything.modeling.image_encoder import Attention, Block, ImageEncoderViT


class PlainEncoder:
    """The package's own code, one image after the other."""

    def __init__(self, encoder: ImageEncoderViT) -> None:
        self._encoder = encoder

    def __call__(self, images: Tensor) -> Tensor:
        """Embeddings (B, 256, h, w) of images (B, 3, H, W)."""
        with torch.inference_mode():
            return torch.cat([self._encoder(image[None]) for image in images])


class FastEncoder:
    """The same, all images at once.

    On a processor with bfloat16 matrix units, products take bfloat16 factors and are summed in float32; each weight is
    a sum of two bfloat16 numbers, since what rounding takes from weights is most of what is lost. On such a graphics
    card everything but sums is bfloat16.
    """

    def __init__(self, encoder: ImageEncoderViT, device: torch.device) -> None:
        self._encoder = encoder
        self._half = autocast_dtype(device)
        self._on_cpu = device.type == "cpu"
        self._split: dict[nn.Module, tuple[Tensor, Tensor]] = {}
        if self._on_cpu and self._half is not None:
            layers = (x for x in encoder.blocks.modules() if isinstance(x, nn.Linear))
            self._split = {layer: _two_parts(layer.weight) for layer in layers}

    def __call__(self, images: Tensor) -> Tensor:
        """Embeddings (B, 256, h, w), float32, of images (B, 3, H, W)."""
        encoder = self._encoder
        with torch.inference_mode():
            x = encoder.patch_embed(images)
            if encoder.pos_embed is not None:
                x = x + encoder.pos_embed
            with self._precision(images.device):
                for block in encoder.blocks:
                    x = self._through(block, x)
            found: Tensor = encoder.neck(x.float().permute(0, 3, 1, 2))
            return found

    @contextmanager
    def _precision(self, device: torch.device) -> Iterator[None]:
        if self._half is None:
            yield
        elif self._on_cpu:
            before = torch.get_float32_matmul_precision()
            torch.set_float32_matmul_precision("medium")
            try:
                yield
            finally:
                torch.set_float32_matmul_precision(before)
        else:
            with torch.autocast(device.type, self._half):
                yield

    def _through(self, block: Block, x: Tensor) -> Tensor:
        """Same as the block's own forward."""
        from segment_anything.modeling.image_encoder import window_partition, window_unpartition

        y = block.norm1(x)
        if block.window_size:
            size = (y.shape[1], y.shape[2])
            y, padded = window_partition(y, block.window_size)
            y = window_unpartition(self._attended(block.attn, y), block.window_size, padded, size)
        else:
            y = self._attended(block.attn, y)
        x = x + y
        mlp = block.mlp
        found: Tensor = x + self._linear(mlp.lin2, mlp.act(self._linear(mlp.lin1, block.norm2(x))))
        return found

    def _attended(self, attention: Attention, x: Tensor) -> Tensor:
        """Softmax of q k / sqrt(d) + R_h + R_w, where R are the relative positions, times v.

        q and k are made longer: q by its products with the relative positions of every row and column, k by which row
        and column it is in. Their product is then the whole sum.
        """
        batch, height, width, _ = x.shape
        heads, places = attention.num_heads, height * width
        three = self._linear(attention.qkv, x)
        if self._half is not None:
            three = three.to(self._half)
        q, k, v = three.reshape(batch, places, 3, heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        size = v.shape[-1]
        if attention.use_rel_pos:
            grid = q.reshape(batch, heads, height, width, size)
            by_row = torch.einsum("bnhwc,hkc->bnhwk", grid, _relative(attention.rel_pos_h, height).to(q.dtype))
            by_column = torch.einsum("bnhwc,wkc->bnhwk", grid, _relative(attention.rel_pos_w, width).to(q.dtype))
            rows = torch.eye(height, dtype=q.dtype, device=q.device).repeat_interleave(width, dim=0)
            columns = torch.eye(width, dtype=q.dtype, device=q.device).repeat(height, 1)
            where = torch.cat([rows, columns], dim=1).expand(batch, heads, places, height + width)
            q = torch.cat([q * attention.scale, by_row.flatten(2, 3), by_column.flatten(2, 3)], dim=-1)
            k = torch.cat([k, where], dim=-1)
            v = F.pad(v, (0, height + width))  # equal lengths are what the fast kernels take
            y = F.scaled_dot_product_attention(q, k, v, scale=1.0)[..., :size]
        else:
            y = F.scaled_dot_product_attention(q, k, v)
        joined = y.transpose(1, 2).reshape(batch, height, width, -1)
        return self._linear(attention.proj, joined.float() if self._split else joined)

    def _linear(self, layer: nn.Linear, x: Tensor) -> Tensor:
        if layer not in self._split:
            found: Tensor = layer(x)
            return found
        high, low = self._split[layer]
        flat = x.reshape(-1, x.shape[-1])
        found = torch.addmm(torch.addmm(layer.bias, flat, high), flat, low)
        return found.reshape(*x.shape[:-1], -1)


def _two_parts(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Matrix (in, out) as a sum of two that bfloat16 holds, float32."""
    high = weight.detach().bfloat16().float()
    return high.t(), (weight.detach() - high).t()


def _relative(table: Tensor, size: int) -> Tensor:
    from segment_anything.modeling.image_encoder import get_rel_pos

    found: Tensor = get_rel_pos(size, size, table)
    return found
