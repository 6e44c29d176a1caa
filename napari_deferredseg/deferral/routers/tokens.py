"""A router inside Segment Anything: K + 1 routing tokens and one of deferral, in a second pass of its decoder.

The tokens go through the frozen decoder together with its own and the prompt's, and each has hypernetworks of its own
that turn it into maps (DeferredSeg, arXiv 2604.12411). The first pass, which makes the mask, does not know of them. The
second pass gets the mask of the first one as a prompt, so that the tokens see what the AI says.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from napari_deferredseg.core.progress import silent
from napari_deferredseg.deferral.routers.base import Routing
from napari_deferredseg.deferral.routers.kept_slices import KeptSlices
from napari_deferredseg.deferral.segmentors.sam.segmentor import SamSegmentor

if TYPE_CHECKING:
    from segment_anything.modeling import Sam

    from napari_deferredseg.core.progress import Progress
    from napari_deferredseg.core.volume import Array
    from napari_deferredseg.deferral.data.cases import PreparedCase
    from napari_deferredseg.deferral.data.segmentor_settings import View
    from napari_deferredseg.deferral.routers.base import Seen
    from napari_deferredseg.deferral.segmentors.base import Segmentor
    from napari_deferredseg.deferral.segmentors.sam.segmentor import SamSlice

WIDTH = 256
"""Of the tokens of every published Segment Anything."""
SURE = 4.0
"""Logit of the AI where no box asks and nothing is drawn."""


class TokenRouter(nn.Module):
    """Routing tokens of K experts and the AI, and a deferral token, with their hypernetworks. Holds nothing of the SAM.

    Parameters
    ----------
    experts : int
    width : int
        Of the decoder's tokens.
    """

    def __init__(self, experts: int, width: int) -> None:
        from segment_anything.modeling.mask_decoder import MLP

        super().__init__()
        self.agents = experts + 1
        self.tokens = nn.Embedding(self.agents + 1, width)
        self.heads = nn.ModuleList(MLP(width, width, width // 8, 3) for _ in range(2 * self.agents + 1))
        self._base: tuple[SamSegmentor, ...] = ()  # a tuple: its weights are not this network's

    @property
    def module(self) -> nn.Module:
        """Itself."""
        return self

    def over(self, segmentor: Segmentor) -> TokenRouter:
        """Route over this segmentor, through whose decoder the tokens go, from now on; returns itself."""
        assert isinstance(segmentor, SamSegmentor)
        self._base = (segmentor,)
        return self

    @property
    def segmentor(self) -> SamSegmentor:
        """Whose decoder the tokens go through."""
        return self._base[0]

    def try_out(self, patch: tuple[int, ...]) -> None:
        """Tokens go through a decoder whatever the patch is."""

    def keep(self, case: PreparedCase, device: torch.device) -> None:
        """Keep the slices that boxes ask about beside a case, with all but the tokens' pass; what is kept stays."""
        kept = KeptSlices(case.folder)
        if kept.asked.exists():
            return
        rows: dict[int, list[list[int]]] = {}
        for asked in self.segmentor.slices(case.scan(), device):
            kept.embedding(asked.z).save(asked.embedding.numpy().astype(np.float16))
            kept.drawn(asked.z).save(self.drawn(asked, device).cpu().numpy())
            rows[asked.z] = [[asked.z, b.label, *b.rows, *b.columns] for b in asked.boxes]
        kept.asked.save(np.array(list(chain(*rows.values())), np.int64).reshape(-1, 6))

    def drawn(self, asked: SamSlice, device: torch.device) -> Tensor:
        """Largest logit (1, 1, h, w) of all boxes of a slice, by the first pass."""
        if asked.drawn is not None:
            return asked.drawn.to(device)
        return self.segmentor.low_logits(asked, device).amax(dim=0, keepdim=True)

    def forward(self, embedding: Tensor, corners: Tensor, drawn: Tensor) -> Tensor:
        """Channels (1, 2 (K + 1) + 1, h, w) of a slice's embedding (256, h / 4, w / 4), boxes (n, 4) and first mask.

        In the order of `Routing.of`: scores, competences, deferral.
        """
        sam: Sam = self.segmentor.sam
        with torch.no_grad():
            sparse, _ = sam.prompt_encoder(points=None, boxes=corners, masks=None)
            dense = sam.prompt_encoder.mask_downscaling(drawn)
        decoder = sam.mask_decoder
        known = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
        tokens = torch.cat([known, self.tokens.weight, sparse.flatten(0, 1)])[None]
        told, image = decoder.transformer(embedding[None] + dense, sam.prompt_encoder.get_dense_pe(), tokens)
        rows, columns = embedding.shape[1:]
        fine = decoder.output_upscaling(image.transpose(1, 2).reshape(1, -1, rows, columns))
        own = told[0, len(known) : len(known) + self.agents + 1]
        weights = torch.stack([head(own[self._token_of(i)]) for i, head in enumerate(self.heads)])
        maps: Tensor = torch.einsum("kc,bchw->bkhw", weights, fine)
        return maps

    def _token_of(self, head: int) -> int:
        """Token that a head reads: an agent's has two heads, the deferral token one."""
        return head % self.agents if head < 2 * self.agents else self.agents

    def channels_of(self, asked: SamSlice, device: torch.device) -> Tensor:
        """Channels (1, 2 (K + 1) + 1, y, x) of a slice, on its own voxels."""
        channels = self(asked.embedding.to(device), asked.corners(device), self.drawn(asked, device))
        return asked.frame.back(self.segmentor.sam, channels)

    def route(
        self, seen: Seen, scaled: Array, view: View, device: torch.device, progress: Progress = silent
    ) -> Routing:
        """Apply it to every slice of a case that boxes ask about; in the others the AI is left alone."""
        channels = np.zeros((2 * self.agents + 1, *scaled.shape[-3:]), np.float32)
        channels[[0, self.agents]], channels[-1] = SURE, -SURE
        for asked in self.segmentor.slices(seen.scan(), device, progress):
            with torch.inference_mode():
                channels[:, asked.z] = self.channels_of(asked, device)[0].cpu().numpy()
        return Routing.of(torch.from_numpy(channels).unsqueeze(0))
