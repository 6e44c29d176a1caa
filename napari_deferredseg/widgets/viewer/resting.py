"""Drawing tools rest where a hand would draw unseen: in 3-D, and while the layer is hidden."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psygnal import Signal

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels

REST = "pan_zoom"
ARMED = ("paint", "erase", "fill", "polygon")
IN_3D = "Brushes rest in 3-D, where a drag turns the picture: go back to a plane (Q) to paint."
HIDDEN = "{name} is hidden: show it to paint on it."


class Resting:
    """Puts the drawing tools of one labels layer away, and gives back the one that was in the hand."""

    told = Signal(str)

    def __init__(self, layer: Labels, viewer: ViewerModel) -> None:
        self._layer = layer
        self._viewer = viewer
        self._kept: str | None = None
        viewer.dims.events.ndisplay.connect(self._on_view)
        layer.events.visible.connect(self._on_view)
        layer.events.mode.connect(self._on_mode)
        self._on_view()

    def close(self) -> None:
        """Leave the layer's tools alone."""
        self._viewer.dims.events.ndisplay.disconnect(self._on_view)
        self._layer.events.visible.disconnect(self._on_view)
        self._layer.events.mode.disconnect(self._on_mode)

    @property
    def mode(self) -> str:
        """The tool in the hand, or the one that comes back to it."""
        return self._kept or str(self._layer.mode)

    def take(self, mode: str) -> None:
        """Take a tool into the hand, at once or as soon as it can be used."""
        if self._why_not():
            self._kept = mode
            self._layer.mode = REST
        else:
            self._layer.mode = mode

    def explain(self) -> None:
        """Say why the tool rests, where it does."""
        if line := self._why_not():
            self.told.emit(line)

    def _why_not(self) -> str:
        if self._viewer.dims.ndisplay == 3:
            return IN_3D
        return "" if self._layer.visible else HIDDEN.format(name=self._layer.name)

    def _on_view(self, event: Any = None) -> None:
        layer = self._layer
        if self._why_not():
            if str(layer.mode) in ARMED:
                self.take(str(layer.mode))
        elif self._kept is not None:
            mode, self._kept = self._kept, None
            if layer.editable:
                layer.mode = mode

    def _on_mode(self, event: Any = None) -> None:
        if str(self._layer.mode) in ARMED and self._why_not():
            self._layer.mode = REST
            self.explain()
