"""Layers of a case stay where the scan is, whatever moves them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.widgets.viewer.volume_layers import UNIT, stands_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Layer

    from napari_deferredseg.core.frame import Frame

TRANSFORM = "transform"
MOVES = ("affine", "scale", "translate", "rotate", "shear", "units")
NO_TRANSFORM = "Transform is off: {name} stays where the scan puts it, so that paint lands where you see it."
MOVED_BACK = "{name} was moved, turned or scaled: it is back where the scan puts it."


class Anchors:
    """Takes back at once whatever moves, turns or scales some layers, and says so in a line.

    A displaced layer shows its voxels in one place and keeps what is painted on it in another.
    """

    told = Signal(str)

    def __init__(self, layers: Sequence[Layer], frame: Frame) -> None:
        self._layers = tuple(layers)
        self._frame = frame
        self._busy = False
        self._modes = {layer.unique_id: str(layer.mode) for layer in layers}
        for layer in layers:
            for name in MOVES:
                getattr(layer.events, name).connect(self._on_move)
            layer.events.mode.connect(self._on_mode)

    def close(self) -> None:
        """Hold the layers no more."""
        for layer in self._layers:
            for name in MOVES:
                getattr(layer.events, name).disconnect(self._on_move)
            layer.events.mode.disconnect(self._on_mode)

    def check(self) -> None:
        """Put back what was displaced without a sign. InputError when something was."""
        for layer in self._layers:
            if not self._stands(layer):
                self._put_back(layer)
                raise InputError(MOVED_BACK.format(name=layer.name) + " Look at the region again, then go on.")

    def _on_move(self, event: Any) -> None:
        layer = event.source
        if not self._busy and not self._stands(layer):
            self._put_back(layer)
            self.told.emit(MOVED_BACK.format(name=layer.name))

    def _on_mode(self, event: Any) -> None:
        layer = event.source
        if str(layer.mode) == TRANSFORM:
            layer.mode = self._modes.get(layer.unique_id, "pan_zoom")
            self.told.emit(NO_TRANSFORM.format(name=layer.name))
        else:
            self._modes[layer.unique_id] = str(layer.mode)

    def _stands(self, layer: Layer) -> bool:
        return stands_in(layer, self._frame) and all(f"{unit:~}" == UNIT for unit in layer.units)

    def _put_back(self, layer: Layer) -> None:
        ndim = layer.ndim
        self._busy = True
        try:
            layer.units = (UNIT,) * ndim
            layer.rotate, layer.shear = [[float(i == j) for j in range(ndim)] for i in range(ndim)], [0.0] * ndim
            layer.scale, layer.translate = self._frame.scale, self._frame.translate
            layer.affine = [[float(i == j) for j in range(ndim + 1)] for i in range(ndim + 1)]
        finally:
            self._busy = False
