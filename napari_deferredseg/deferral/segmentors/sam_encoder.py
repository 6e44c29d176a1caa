"""The image encoder of Segment Anything: as published, and a faster way through the same weights.

The faster way adds the relative positions to queries and keys instead of to a matrix of all pairs of places (4096 x
4096 a head), so that attention needs no such matrix; it uses half precision where the device is good at it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_deferredseg.deferral.devices import autocast_dtype

if TYPE_CHECKING:
    from segment_anything.modeling.image_encoder import Attention, Block, ImageEncoderViT


def encode_plain(encoder: ImageEncoderViT, images: Tensor) -> Tensor:
    """Embeddings (B, 256, h, w) of images (B, 3, H, W) by the package's own code, one by one."""
    with torch.inference_mode():
        return torch.cat([encoder(image[None]) for image in images])


def encode_fast(encoder: ImageEncoderViT, images: Tensor) -> Tensor:
    """Embeddings (B, 256, h, w), float32, of images (B, 3, H, W), all at once."""
    half = autocast_dtype(images.device)
    with torch.inference_mode(), torch.autocast(images.device.type, half, enabled=half is not None):
        x = encoder.patch_embed(images)
        if encoder.pos_embed is not None:
            x = x + encoder.pos_embed
        for block in encoder.blocks:
            x = _through(block, x)
        found: Tensor = encoder.neck(x.permute(0, 3, 1, 2)).float()
        return found


def _through(block: Block, x: Tensor) -> Tensor:
    """Same as the block's own forward."""
    from segment_anything.modeling.image_encoder import window_partition, window_unpartition

    y = block.norm1(x)
    if block.window_size:
        size = (y.shape[1], y.shape[2])
        y, padded = window_partition(y, block.window_size)
        y = window_unpartition(_attended(block.attn, y), block.window_size, padded, size)
    else:
        y = _attended(block.attn, y)
    x = x + y
    found: Tensor = x + block.mlp(block.norm2(x))
    return found


def _attended(attention: Attention, x: Tensor) -> Tensor:
    """Softmax of q k / sqrt(d) + R_h + R_w, where R are the relative positions, times v.

    q and k are made longer: q by its products with the relative positions of every row and column, k by which row and
    column it is in. Their product is then the whole sum.
    """
    batch, height, width, _ = x.shape
    heads, places = attention.num_heads, height * width
    q, k, v = attention.qkv(x).reshape(batch, places, 3, heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
    if not attention.use_rel_pos:
        y = F.scaled_dot_product_attention(q, k, v)
        return _joined(attention, y, batch, height, width)
    grid = q.reshape(batch, heads, height, width, -1)
    by_row = torch.einsum("bnhwc,hkc->bnhwk", grid, _relative(attention.rel_pos_h, height).to(q.dtype))
    by_column = torch.einsum("bnhwc,wkc->bnhwk", grid, _relative(attention.rel_pos_w, width).to(q.dtype))
    rows = torch.eye(height, dtype=q.dtype, device=q.device).repeat_interleave(width, dim=0)
    columns = torch.eye(width, dtype=q.dtype, device=q.device).repeat(height, 1)
    where = torch.cat([rows, columns], dim=1).expand(batch, heads, places, height + width)
    long_q = torch.cat([q * attention.scale, by_row.flatten(2, 3), by_column.flatten(2, 3)], dim=-1)
    long_k = torch.cat([k, where], dim=-1)
    long_v = F.pad(v, (0, height + width))  # equal lengths are what the fast kernels take
    y = F.scaled_dot_product_attention(long_q, long_k, long_v, scale=1.0)[..., : v.shape[-1]]
    return _joined(attention, y, batch, height, width)


def _relative(table: Tensor, size: int) -> Tensor:
    from segment_anything.modeling.image_encoder import get_rel_pos

    found: Tensor = get_rel_pos(size, size, table)
    return found


def _joined(attention: Attention, y: Tensor, batch: int, height: int, width: int) -> Tensor:
    found: Tensor = attention.proj(y.transpose(1, 2).reshape(batch, height, width, -1))
    return found
