"""The mask decoder of Segment Anything: as published, and a faster way through the same weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from segment_anything.modeling import Sam
    from torch import Tensor

TOGETHER = {"cpu": 4, "cuda": 64}
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
    told, image = decoder.transformer(embedding[None] + dense[:1], sam.prompt_encoder.get_dense_pe(), tokens)
    rows, columns = embedding.shape[1:]
    fine = decoder.output_upscaling(image.transpose(1, 2).reshape(len(corners), -1, rows, columns))
    weights = decoder.output_hypernetworks_mlps[0](told[:, 1])  # the first mask is the one for boxes
    found: Tensor = torch.einsum("nc,nchw->nhw", weights, fine)[:, None]
    return found
