"""The kinds of segmentors that were trained elsewhere, by the name that a configuration has for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, cast

from napari_deferredseg.deferral.segmentors import module
from napari_deferredseg.deferral.segmentors.bundle import segmentor as bundle
from napari_deferredseg.deferral.segmentors.nnunet import segmentor as nnunet
from napari_deferredseg.deferral.segmentors.sam import segmentor as sam

if TYPE_CHECKING:
    from torch import nn

    from napari_deferredseg.core.geometry import Vector
    from napari_deferredseg.core.volume import LabelTable
    from napari_deferredseg.deferral.segmentors.base import Segmentor


class Adapter(Protocol):
    """What a module of this package brings for its kind of segmentor. `config` is that kind's settings.

    Each function raises InputError with one line for what cannot be used.
    """

    def completed(self, config: Any) -> Any:
        """Settings with everything that a model folder needs: what the files say that they name."""
        ...

    def make_network(self, config: Any) -> nn.Module:
        """Network of completed settings, frozen, without its weights."""
        ...

    def load_weights(self, network: nn.Module, config: Any) -> None:
        """Load every weight from the files that the settings name."""
        ...

    def segmentor_over(
        self, network: nn.Module, config: Any, table: LabelTable, spacing_mm: Vector | None
    ) -> Segmentor:
        """Segmentor that runs the network, for a model of these labels and voxels."""
        ...


ADAPTERS = {
    "bundle": cast("Adapter", bundle),
    "module": cast("Adapter", module),
    "nnunet": cast("Adapter", nnunet),
    "sam": cast("Adapter", sam),
}


def adapter_of(kind: str) -> Adapter:
    """Find the adapter of a kind of segmentor."""
    return ADAPTERS[kind]
