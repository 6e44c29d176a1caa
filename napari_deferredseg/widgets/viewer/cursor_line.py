"""What is under the cursor: position in the patient, intensity, label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.components.overlays import TextOverlay
from napari.layers import Image, Labels

from napari_deferredseg.core.names import visible
from napari_deferredseg.widgets.viewer.volume_layers import in_place, info_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_deferredseg.core.geometry import Geometry, Vector
    from napari_deferredseg.widgets.viewer.volume_layers import LayerInfo

NAME = "deferredseg_cursor"
_STYLE = {"font_size": 11, "color": (0.9, 0.9, 0.9, 1.0), "position": "bottom_left", "box": False}


@dataclass(frozen=True)
class UnderCursor:
    """A voxel under the cursor.

    Attributes
    ----------
    index : (z, y, x)
        In file order.
    lps : (x, y, z)
        Centre of the voxel, mm, from the file's geometry.
    texts : tuple of str
        Intensities and names of labels there.
    """

    index: tuple[int, int, int]
    lps: Vector
    texts: tuple[str, ...]
    orientation_known: bool

    def text(self) -> str:
        """Position, and what is there on a second line."""
        names = ("LR", "PA", "SI") if self.orientation_known else ("xx", "yy", "zz")
        place = [
            f"{pair[value < 0]} {abs(value) if self.orientation_known else value:.1f}"
            for pair, value in zip(names, self.lps, strict=True)
        ]
        return "\n".join(("  ".join(place) + " mm", "  |  ".join(self.texts)))


def under_cursor(viewer: ViewerModel, world: Sequence[float]) -> UnderCursor | None:
    """Read the visible layers of ours at a point of the viewer; None outside of them and in 3-D."""
    ours = [x for x in reversed(viewer.layers) if x.visible and x.ndim == 3 and info_of(x) and in_place(x)]
    if viewer.dims.ndisplay == 3 or viewer.dims.ndim < 3:
        return None
    texts: list[str] = []
    found: tuple[tuple[int, int, int], Geometry] | None = None
    for layer in ours:
        info = info_of(layer)
        if info is None:
            continue
        index = np.round(info.frame.index(world[-3:])).astype(int)
        if np.any(index < 0) or np.any(index >= info.frame.shape):
            continue
        k, j, i = (int(n) for n in info.frame.to_file(index))
        found = found or ((k, j, i), info.geometry)
        texts += _text(layer, info, tuple(index))
    if found is None:
        return None
    x, y, z = (float(v) for v in found[1].lps(found[0]))
    return UnderCursor(found[0], (x, y, z), tuple(texts), found[1].orientation_known)


class CursorLine:
    """Shows `under_cursor` in the corner of the canvas, after every move of the mouse or the slice.

    It does not use napari's status bar: a thread of napari's writes there after every move, with the layer's world
    coordinates, which are not the patient's in an oblique volume.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._position: tuple[float, ...] = ()
        viewer.canvas.overlays[NAME] = TextOverlay(**_STYLE)
        viewer.mouse_move_callbacks.append(self._on_move)
        viewer.dims.events.point.connect(self._refresh)
        viewer.dims.events.order.connect(self.forget)
        viewer.dims.events.ndisplay.connect(self.forget)
        viewer.events.mouse_over_canvas.connect(self._on_leave)

    @property
    def text(self) -> str:
        """What is on the screen."""
        overlay = self._viewer.canvas.overlays[NAME]
        return str(overlay.text) if overlay.opacity else ""

    def say(self, text: str) -> None:
        """Show something else there until the mouse moves again."""
        overlay = self._viewer.canvas.overlays[NAME]
        overlay.text, overlay.opacity, overlay.box, overlay.visible = text, 1.0, True, True

    def forget(self, event: Any = None) -> None:
        """Say nothing until the mouse moves: something else may be under the cursor now."""
        self._position = ()
        self._refresh()

    def close(self) -> None:
        """Take the line away and listen no more."""
        self._viewer.mouse_move_callbacks.remove(self._on_move)
        self._viewer.dims.events.point.disconnect(self._refresh)
        self._viewer.dims.events.order.disconnect(self.forget)
        self._viewer.dims.events.ndisplay.disconnect(self.forget)
        self._viewer.events.mouse_over_canvas.disconnect(self._on_leave)
        del self._viewer.canvas.overlays[NAME]

    def _on_move(self, viewer: ViewerModel, event: Any) -> None:
        self._position = tuple(event.position)
        self._refresh()

    def _on_leave(self, event: Any) -> None:
        if not self._viewer.mouse_over_canvas:
            self.forget()

    def _refresh(self, event: Any = None) -> None:
        overlay, dims = self._viewer.canvas.overlays[NAME], self._viewer.dims
        found = None
        if len(self._position) == dims.ndim:
            world = list(self._position)
            for axis in dims.not_displayed:
                world[axis] = dims.point[axis]
            found = under_cursor(self._viewer, world)
        # Faded out rather than emptied: napari draws the canvas twice after a text has changed.
        overlay.opacity = 1.0 if found else 0.0
        overlay.box = found is not None
        if found:
            overlay.text = found.text()
            overlay.visible = True


def _text(layer: Layer, info: LayerInfo, index: tuple[int, ...]) -> list[str]:
    if not isinstance(layer, Image | Labels):
        return []
    value = np.asarray(layer.data[index]).item()
    if isinstance(layer, Image):
        if info.quantity:
            return [f"{info.quantity} {value:.2f}"]
        return [f"{value:g} HU" if info.modality == "CT" else f"{value:g}"]
    return [visible(f"{layer.name}: {info.table.name(value)}")] if value and info.table else []
