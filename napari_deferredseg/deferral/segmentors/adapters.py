"""The kinds of segmentors, by the name that a configuration has for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

from napari_deferredseg.deferral.segmentors import module, monai
from napari_deferredseg.deferral.segmentors.bundle import segmentor as bundle
from napari_deferredseg.deferral.segmentors.nnunet import segmentor as nnunet
from napari_deferredseg.deferral.segmentors.sam import segmentor as sam

if TYPE_CHECKING:
    from torch import nn

    from napari_deferredseg.core.geometry import Vector
    from napari_deferredseg.core.volume import LabelTable
    from napari_deferredseg.deferral.data.model_shape import ModelShape
    from napari_deferredseg.deferral.segmentors.base import Segmentor


class Adapter(Protocol):
    """What is brought for a kind of segmentor. `config` is that kind's settings, `shape` the model that it is for.

    Each function raises InputError with one line for what cannot be used.
    """

    def completed(self, config: Any) -> Any:
        """Settings with everything that a model folder needs: what the files say that they name."""
        ...

    def make_network(self, config: Any, shape: ModelShape) -> nn.Module:
        """Network of completed settings, without its weights."""
        ...

    def load_weights(self, network: nn.Module, config: Any) -> None:
        """Load every weight from the files that the settings name; one that is trained here has none yet."""
        ...

    def segmentor_over(self, network: nn.Module, config: Any, shape: ModelShape) -> Segmentor:
        """Segmentor that runs the network, for a model of these labels and voxels."""
        ...


class Foreign(Protocol):
    """What a module of this package brings for a kind that was trained elsewhere: its own settings say nearly all."""

    def completed(self, config: Any) -> Any:
        """As in `Adapter`."""
        ...

    def make_network(self, config: Any) -> nn.Module:
        """Network, frozen, without its weights."""
        ...

    def load_weights(self, network: nn.Module, config: Any) -> None:
        """As in `Adapter`."""
        ...

    def segmentor_over(
        self, network: nn.Module, config: Any, table: LabelTable, spacing_mm: Vector | None
    ) -> Segmentor:
        """As in `Adapter`, for these labels and voxels."""
        ...


@dataclass(frozen=True)
class TrainedElsewhere:
    """An `Adapter` for a segmentor that stays as it is."""

    kind: Foreign

    def completed(self, config: Any) -> Any:
        """Settings with what the files say that they name."""
        return self.kind.completed(config)

    def make_network(self, config: Any, shape: ModelShape) -> nn.Module:
        """Network, frozen, without its weights."""
        return self.kind.make_network(config)

    def load_weights(self, network: nn.Module, config: Any) -> None:
        """Load every weight."""
        self.kind.load_weights(network, config)

    def segmentor_over(self, network: nn.Module, config: Any, shape: ModelShape) -> Segmentor:
        """Segmentor for the labels and voxels of a model."""
        return self.kind.segmentor_over(network, config, shape.table, shape.config.data.spacing_mm)


ADAPTERS: dict[str, Adapter] = {
    "monai": cast("Adapter", monai),
    "bundle": TrainedElsewhere(cast("Foreign", bundle)),
    "module": TrainedElsewhere(cast("Foreign", module)),
    "nnunet": TrainedElsewhere(cast("Foreign", nnunet)),
    "sam": TrainedElsewhere(cast("Foreign", sam)),
}


def adapter_of(kind: str) -> Adapter:
    """Find the adapter of a kind of segmentor."""
    return ADAPTERS[kind]
