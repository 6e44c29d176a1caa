"""The image encoder of Segment Anything: as published, and a faster way through the same weights.

The faster way adds the relative positions to queries and keys instead of to a matrix of all pairs of places (4096 x
4096 a head), so that attention needs no such matrix. Where the device is good at half precision, it multiplies in it,
but what places that are computed together have in common (a window, an image, some rows) is taken off before: it goes
through the weights in float32 and is added again. So rounding takes a share of the difference, not of the whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_deferredseg.deferral.data.devices import autocast_dtype

if TYPE_CHECKING:
    from segment_anything.modeling.common import MLPBlock
    from segment_anything.modeling.image_encoder import Attention, Block, ImageEncoderViT

ROWS = {"cpu": 512}
"""Places that go through the hidden layer at once: on a processor as many as its caches hold, else all."""
STEP = 32
"""Channels of queries, keys and values are a multiple of it, as the fast kernels like best."""
WAY = "differences"
"""Names how the fast way computes, beside embeddings that are kept: those of another way are made anew."""


class PlainEncoder:
    """The package's own code, one image after the other."""

    def __init__(self, encoder: ImageEncoderViT) -> None:
        self._encoder = encoder

    def __call__(self, images: Tensor) -> Tensor:
        """Embeddings (B, 256, h, w) of images (B, 3, H, W)."""
        with torch.inference_mode():
            return torch.cat([self._encoder(image[None]) for image in images])


class FastEncoder:
    """The same, all images at once, with the weights and on the device that the encoder has now."""

    def __init__(self, encoder: ImageEncoderViT, device: torch.device) -> None:
        self._encoder = encoder
        self._half = autocast_dtype(device) or torch.float32
        self._rows = ROWS.get(device.type)
        self._weights: dict[nn.Module, Tensor] = {}
        with torch.inference_mode():
            for block in encoder.blocks:
                for layer in (block.attn.qkv, block.attn.proj):
                    self._weights[layer] = layer.weight.to(self._half)
                for layer in (block.mlp.lin1, block.mlp.lin2):
                    self._weights[layer] = self._in_parts(layer.weight)

    def __call__(self, images: Tensor) -> Tensor:
        """Embeddings (B, 256, h, w), float32, of images (B, 3, H, W)."""
        encoder = self._encoder
        with torch.inference_mode():
            x = (encoder.patch_embed(images) + encoder.pos_embed).contiguous()
            for block in encoder.blocks:
                self._through(block, x)
            found: Tensor = encoder.neck(x.permute(0, 3, 1, 2))
            return found

    def _in_parts(self, weight: Tensor) -> Tensor:
        """Matrix (out, in), or (out, 2 in) whose halves have it as their sum: the hidden layers lose most otherwise."""
        high = weight.to(self._half)
        return high if self._half is torch.float32 else torch.cat([high, (weight - high).to(self._half)], dim=1)

    def _product(self, layer: nn.Linear, x: Tensor) -> Tensor:
        """Differences (..., in) times the weights, without the bias."""
        weight, x = self._weights[layer], x.to(self._half)
        return F.linear(x if weight.shape[1] == x.shape[-1] else torch.cat([x, x], dim=-1), weight)

    def _through(self, block: Block, x: Tensor) -> None:
        """Do to x (B, h, w, C) what the block's own forward does."""
        from segment_anything.modeling.image_encoder import window_partition, window_unpartition

        y = block.norm1(x)
        if block.window_size:
            size = (y.shape[1], y.shape[2])
            y, padded = window_partition(y, block.window_size)
            x += window_unpartition(self._attended(block.attn, y), block.window_size, padded, size)
        else:
            x += self._attended(block.attn, y)
        for part in torch.split(x.flatten(0, 2), self._rows) if self._rows else (x.flatten(1, 2),):
            part += self._hidden(block.mlp, block.norm2(part))

    def _hidden(self, mlp: MLPBlock, x: Tensor) -> Tensor:
        for layer, after in ((mlp.lin1, mlp.act), (mlp.lin2, nn.Identity())):
            common = x.mean(dim=-2, keepdim=True)
            x = after(self._product(layer, x - common) + layer(common))
        return x

    def _attended(self, attention: Attention, x: Tensor) -> Tensor:
        """Softmax of q k / sqrt(d) + R_h + R_w, where R are the relative positions, times v.

        q and k are made longer: q by its products with the relative positions of every row and column, k by which row
        and column it is in. Their product is then the whole sum. What all keys have in common changes no softmax; what
        all values have in common passes it as it is.
        """
        height, width, channels = x.shape[1:]
        x = x.flatten(1, 2)
        common = x.mean(dim=1, keepdim=True)
        three = self._product(attention.qkv, x - common)
        of_q, _, of_v = torch.split(attention.qkv(common), channels, dim=-1)
        three[..., :channels] += of_q
        q, k, v = three.reshape(*three.shape[:2], 3, attention.num_heads, -1).permute(2, 0, 3, 1, 4)
        size = v.shape[-1]
        length = -(-(size + height + width) // STEP) * STEP
        parts_q = [q * attention.scale, *_relative(attention, q, height, width)]
        parts_k = [k, _which(height, width, q).expand(*q.shape[:3], -1)]
        q, k, v = (_joined(parts, length) for parts in (parts_q, parts_k, [v]))
        y = F.scaled_dot_product_attention(q, k, v, scale=1.0)[..., :size].transpose(1, 2).flatten(2)
        found: Tensor = self._product(attention.proj, y) + attention.proj(of_v)
        return found.reshape(-1, height, width, channels)


def _joined(parts: list[Tensor], length: int) -> Tensor:
    """Parts one after the other, and zeros up to a length."""
    known = sum(part.shape[-1] for part in parts)
    return torch.cat([*parts, parts[0].new_zeros(()).expand(*parts[0].shape[:-1], length - known)], dim=-1)


def _relative(attention: Attention, q: Tensor, height: int, width: int) -> list[Tensor]:
    """Products of queries (B, heads, places, d) with the relative positions of every row and of every column."""
    from segment_anything.modeling.image_encoder import get_rel_pos

    grid = q.reshape(*q.shape[:2], height, width, -1)
    rows, columns = get_rel_pos(height, height, attention.rel_pos_h), get_rel_pos(width, width, attention.rel_pos_w)
    by_row = torch.einsum("bnhwc,hkc->bnhwk", grid, rows.to(q.dtype))
    by_column = torch.einsum("bnhwc,wkc->bnhwk", grid, columns.to(q.dtype))
    return [by_row.flatten(2, 3), by_column.flatten(2, 3)]


def _which(height: int, width: int, like: Tensor) -> Tensor:
    """Row and column of each place: (places, height + width), 1 where it is in one."""
    rows, columns = (torch.eye(n, dtype=like.dtype, device=like.device) for n in (height, width))
    return torch.cat([rows.repeat_interleave(width, dim=0), columns.repeat(height, 1)], dim=1)
