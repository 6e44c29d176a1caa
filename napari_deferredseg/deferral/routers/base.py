"""What a router promises, whatever it is made of: who should answer, at every voxel of a case."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, Self

from napari_deferredseg.core.progress import silent

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from napari_deferredseg.core.progress import Progress
    from napari_deferredseg.core.scan import Scan
    from napari_deferredseg.core.volume import Array
    from napari_deferredseg.deferral.data.cases import PreparedCase
    from napari_deferredseg.deferral.data.segmentor_settings import View
    from napari_deferredseg.deferral.segmentors.base import Segmentor


class Routing(NamedTuple):
    """What a router says of K experts and the AI (agent 0): A = K + 1.

    Attributes
    ----------
    scores : (B, A, *spatial)
        Logits of who should answer: the K + 1 routing channels.
    competence : (B, A, *spatial)
        One-versus-all logits: sigmoid is P(agent right), once calibrated.
    defer : (B, 1, *spatial)
        Logit of the aggregated deferral predictor.
    """

    scores: Tensor
    competence: Tensor
    defer: Tensor

    @classmethod
    def of(cls, channels: Tensor) -> Routing:
        """Take apart (B, 2 A + 1, *spatial)."""
        agents = channels.shape[1] // 2
        return cls(channels[:, :agents], channels[:, agents : 2 * agents], channels[:, 2 * agents :])


class Seen(Protocol):
    """What a router may look at beside the segmentor's logits."""

    def image(self) -> Array:
        """Image (c, z, y, x) as networks get it, on the model's grid."""
        ...

    def scan(self) -> Scan:
        """Volume as it is stored, and boxes."""
        ...


class Router(Protocol):
    """Routes over one segmentor, of which it holds nothing."""

    @property
    def module(self) -> nn.Module:
        """Holds every weight."""
        ...

    def over(self, segmentor: Segmentor) -> Self:
        """Route over this segmentor from now on; returns itself."""
        ...

    def try_out(self, patch: tuple[int, ...]) -> None:
        """Find out whether it takes such patches, before hours are spent on it. InputError when it does not."""
        ...

    def keep(self, case: PreparedCase, device: torch.device) -> None:
        """Keep beside a case what fitting needs of it and is not there yet."""
        ...

    def route(
        self, seen: Seen, scaled: Array, view: View, device: torch.device, progress: Progress = silent
    ) -> Routing:
        """Apply it to a whole case and the segmentor's calibrated logits (C, z, y, x): a batch of one."""
        ...
