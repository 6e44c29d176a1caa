"""The mask decoder of Segment Anything: as published, and a faster way through the same weights.

A box has seven tokens and an image 4096 places. Where tokens look at the image or it at them, the faster way brings the
projections to the tokens' side: q (W x) = (q W) x. What is the same for every key leaves a softmax as it is and is left
out. Places come before channels throughout, so that enlarging needs no convolution and nothing is moved about.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Iterable

    from segment_anything.modeling import Sam
    from segment_anything.modeling.transformer import Attention, TwoWayAttentionBlock, TwoWayTransformer
    from torch import Tensor, nn

TOGETHER = {"cpu": 2, "cuda": 64}
"""Boxes that are decoded at once: on a processor as many as its caches hold."""


def decode_plain(sam: Sam, embedding: Tensor, corners: Tensor) -> Tensor:
    """Logits (n, 1, h, w) of boxes (n, 4) over an embedding (256, h / 4, w / 4), by the package's own code."""
    return torch.cat([_by_package(sam, embedding, box[None]) for box in corners])


def _by_package(sam: Sam, embedding: Tensor, corners: Tensor) -> Tensor:
    sparse, dense = sam.prompt_encoder(points=None, boxes=corners, masks=None)
    found: Tensor = sam.mask_decoder(
        image_embeddings=embedding[None],
        image_pe=sam.prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=False,
    )[0]
    return found


def decode_fast(sam: Sam, embedding: Tensor, corners: Tensor) -> Tensor:
    """The same for several boxes at once, which share the image until they have told it something."""
    count = TOGETHER.get(corners.device.type, 1)
    return torch.cat([_together(sam, embedding, corners[i : i + count]) for i in range(0, len(corners), count)])


def _together(sam: Sam, embedding: Tensor, corners: Tensor) -> Tensor:
    sparse, dense = sam.prompt_encoder(points=None, boxes=corners, masks=None)
    decoder = sam.mask_decoder
    own = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    tokens = torch.cat([own.expand(len(corners), -1, -1), sparse], dim=1)
    image, where = (x.flatten(2).transpose(1, 2) for x in (embedding + dense[:1], sam.prompt_encoder.get_dense_pe()))
    told, image = _both_ways(decoder.transformer, tokens, image.contiguous(), where.contiguous())
    weights = decoder.output_hypernetworks_mlps[0](told[:, 1])  # the first mask is the one for boxes
    return _enlarged(decoder.output_upscaling, image, weights, embedding.shape[-1])[:, None]


def _both_ways(transformer: TwoWayTransformer, tokens: Tensor, image: Tensor, where: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens (n, t, c) and image (n, places, c) after they looked at each other; `where` places are, (1, places, c)."""
    told = tokens
    for layer in transformer.layers:
        placed = image + where
        told = _looked(layer, told, tokens, image, placed)
        image = layer.norm4(_image_asks(layer.cross_attn_image_to_token, image, placed, told + tokens, told))
    final = transformer.final_attn_token_to_image
    told = transformer.norm_final_attn(told + _tokens_ask(final, told + tokens, image, image + where))
    return told, image


def _looked(layer: TwoWayAttentionBlock, told: Tensor, tokens: Tensor, image: Tensor, placed: Tensor) -> Tensor:
    """Tokens after they looked at each other and at the image."""
    if layer.skip_first_layer_pe:
        told = layer.self_attn(q=told, k=told, v=told)
    else:
        q = told + tokens
        told = told + layer.self_attn(q=q, k=q, v=told)
    told = layer.norm1(told)
    told = layer.norm2(told + _tokens_ask(layer.cross_attn_token_to_image, told + tokens, image, placed))
    found: Tensor = layer.norm3(told + layer.mlp(told))
    return found


def _tokens_ask(attention: Attention, q: Tensor, image: Tensor, placed: Tensor) -> Tensor:
    """What tokens (n, t, c) see in an image (n, places, c) whose keys are `placed`."""
    count, tokens, _ = q.shape
    heads = attention.num_heads
    asked = attention.q_proj(q).reshape(count, tokens, heads, -1)
    asked = asked / asked.shape[-1] ** 0.5
    keys = torch.einsum("nthd,hdc->nthc", asked, attention.k_proj.weight.reshape(heads, -1, q.shape[-1]))
    looks = (keys.flatten(1, 2) @ placed.transpose(1, 2)).softmax(dim=-1)
    seen = (looks @ image).reshape(count, tokens, heads, -1)
    values = torch.einsum("nthc,hdc->nthd", seen, attention.v_proj.weight.reshape(heads, -1, q.shape[-1]))
    found: Tensor = attention.out_proj(values.flatten(2) + attention.v_proj.bias)
    return found


def _image_asks(attention: Attention, image: Tensor, placed: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Image (n, places, c) and what its places see in tokens of keys and values (n, t, c)."""
    count, tokens, _ = k.shape
    heads = attention.num_heads
    known = attention.k_proj(k).reshape(count, tokens, heads, -1)
    known = known / known.shape[-1] ** 0.5
    keys = torch.einsum("nthd,hdc->nhtc", known, attention.q_proj.weight.reshape(heads, -1, k.shape[-1]))
    more = torch.einsum("nthd,hd->nht", known, attention.q_proj.bias.reshape(heads, -1))
    looks = keys.flatten(1, 2) @ placed.transpose(1, 2) + more.flatten(1)[..., None]
    looks = looks.reshape(count, heads, tokens, -1).softmax(dim=2).flatten(1, 2)
    told = attention.v_proj(v).reshape(count, tokens, heads, -1)
    values = torch.einsum("nthd,chd->nhtc", told, attention.out_proj.weight.reshape(k.shape[-1], heads, -1))
    values = values.flatten(1, 2) + attention.out_proj.bias / heads  # a place's looks have a sum of 1 in each head
    return torch.baddbmm(image.expand(count, -1, -1), looks.transpose(1, 2), values)


def _enlarged(upscaling: Iterable[Any], image: Tensor, weights: Tensor, columns: int) -> Tensor:
    """Maps (n, h, w) of an image (n, places, c), enlarged four times, and the weights (n, c / 8) of its channels."""
    first, norm, act, second, last = upscaling
    fine = act(F.layer_norm(_twice(first, image), norm.weight.shape, norm.weight, norm.bias, norm.eps))
    finest: Tensor = last(_twice(second, fine))
    maps = finest.flatten(1, -2) @ weights[..., None]
    # in the order of places: row, column, and twice the row and column within
    maps = maps.reshape(len(image), -1, columns, 2, 2, 2, 2).permute(0, 1, 3, 5, 2, 4, 6)
    return maps.reshape(len(image), -1, 4 * columns)


def _twice(layer: nn.ConvTranspose2d, x: Tensor) -> Tensor:
    """Places (..., c) as four places (..., 4, channels), as a transposed convolution of size and step 2 makes them."""
    weight = layer.weight.permute(2, 3, 1, 0).reshape(-1, layer.in_channels)
    assert layer.bias is not None
    return F.linear(x, weight, layer.bias.repeat(4)).reshape(*x.shape[:-1], 4, layer.out_channels)
