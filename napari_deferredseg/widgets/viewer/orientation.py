"""Anatomical planes, and the letters that say which side of the patient is where on the screen."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.components.overlays import TextOverlay
from psygnal import Signal

from napari_deferredseg.widgets.viewer.volume_layers import in_place, info_of

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer
    from numpy.typing import NDArray

POSITIVE, NEGATIVE = "SPL", "IAR"
UNKNOWN = "?"
POSITIONS = {"left": "middle_left", "right": "middle_right", "top": "top_center", "bottom": "bottom_center"}

_SLANT = 0.38  # sine of 22.5 degrees: closer to an axis than that, its letter alone is right
_LETTER = {"font_size": 20, "color": (1.0, 0.85, 0.2, 1.0), "box": True, "box_color": (0, 0, 0, 0.4), "visible": True}
_BANNER = {"font_size": 12, "color": (1.0, 0.55, 0.1, 1.0), "box": True, "position": "top_left"}
_MOVES = ("affine", "scale", "translate", "rotate", "shear", "visible")


class Plane(Enum):
    """How a plane is shown, radiological convention: the patient's right is on the left of the screen."""

    AXIAL = ((0, 1, 2), ("away", "down", "right"))
    CORONAL = ((1, 0, 2), ("away", "up", "right"))
    SAGITTAL = ((2, 0, 1), ("towards", "up", "right"))

    @property
    def order(self) -> tuple[int, int, int]:
        """Axes S, P, L from the one that is scrolled to the horizontal one."""
        return self.value[0]

    @property
    def orientation(self) -> tuple[str, str, str]:
        """Camera orientation: depth, vertical, horizontal."""
        return self.value[1]


def show_plane(viewer: ViewerModel, plane: Plane) -> None:
    """Show a plane through the current point, or through the middle of the screen when that point is out of sight.

    A magnified view stays magnified; otherwise the volumes of ours fill the canvas. Without a volume there is no plane
    to show, and nothing happens.
    """
    camera, dims = viewer.scene.camera, viewer.dims
    if dims.ndim < 3:
        return
    layers = ours(viewer) or list(viewer.layers)
    low, high = viewer.layers.get_extent(layers).world
    magnified, point, zoom = _magnified(viewer, low, high), _point_in_sight(viewer, low, high), camera.zoom
    dims.ndisplay = 2
    dims.order = _order(dims.ndim, plane.order)
    dims.point = point
    camera.orientation = plane.orientation
    viewer.fit_to_view(layers=layers)
    if magnified:
        camera.center = (0.0, *(point[axis] for axis in dims.displayed))
        camera.zoom = zoom


def show_3d(viewer: ViewerModel) -> None:
    """Show the volume in 3-D from the front, head up, patient's right on the left."""
    dims = viewer.dims
    if dims.ndim < 3:
        return
    dims.order = _order(dims.ndim, Plane.AXIAL.order)
    dims.ndisplay = 3
    viewer.scene.camera.orientation = Plane.AXIAL.orientation
    viewer.scene.camera.set_view_direction((0, 1, 0), (1, 0, 0))
    viewer.fit_to_view(layers=ours(viewer) or None)


def ours(viewer: ViewerModel) -> list[Layer]:
    """Visible layers that stand in a frame of ours, lowest first."""
    return [layer for layer in viewer.layers if layer.visible and info_of(layer) is not None]


def plane_shown(viewer: ViewerModel) -> Plane | None:
    """Plane on the screen; None in 3-D or when axes or camera were turned some other way."""
    shown = (viewer.dims.order, tuple(str(part) for part in viewer.scene.camera.orientation))
    if viewer.dims.ndisplay == 3:
        return None
    return next((p for p in Plane if (_order(viewer.dims.ndim, p.order), p.orientation) == shown), None)


def screen_directions(viewer: ViewerModel) -> NDArray[np.float64]:
    """Unit vectors (2, 3) in S, P, L that point right and up on the screen; all zero where a direction has no name."""
    dims, camera = viewer.dims, viewer.scene.camera
    depth, vertical, horizontal = (str(part) for part in camera.orientation)
    signs = [1 if depth == "away" else -1, -1 if vertical == "down" else 1, 1 if horizontal == "right" else -1]
    if dims.ndisplay == 3:
        up = np.array(camera.up_direction)
        right = np.prod(signs) * np.cross(camera.view_direction, up)
    else:
        right, up = np.array((0, 0, signs[2])), np.array((0, signs[1], 0))
    named = np.zeros((2, dims.ndim))
    named[:, list(dims.displayed)] = np.stack([right, up])[:, -len(dims.displayed) :]
    return named[:, -3:] if dims.ndim >= 3 else np.zeros((2, 3))


def letters(direction: NDArray[np.float64]) -> str:
    """Letters of a direction (3,) in S, P, L, the principal one first, such as "S" or "LA"."""
    slanted = [axis for axis in np.argsort(-np.abs(direction), kind="stable") if abs(direction[axis]) > _SLANT]
    return "".join((POSITIVE if direction[axis] > 0 else NEGATIVE)[axis] for axis in slanted)


class OrientationLetters:
    """Letters at the four sides of the canvas, and a banner for what the reader must know about the orientation.

    They follow everything that turns the picture. Where the orientation is not known, or somebody moved a layer of
    ours, they are question marks; without any layer of ours there are none.
    """

    banner_changed = Signal(str)

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._overlays = viewer.canvas.overlays
        self._banner = ""
        for side, position in POSITIONS.items():
            self._overlays[_name(side)] = TextOverlay(position=position, **_LETTER)
        self._overlays[_name("banner")] = TextOverlay(**_BANNER)
        self._emitters = [
            viewer.dims.events.order,
            viewer.dims.events.ndisplay,
            viewer.dims.events.ndim,
            viewer.scene.camera.events.orientation,
            viewer.scene.camera.events.angles,
        ]
        for emitter in self._emitters:
            emitter.connect(self.refresh)
        viewer.layers.events.inserted.connect(self._on_inserted)
        viewer.layers.events.removed.connect(self._on_removed)
        for layer in viewer.layers:
            self._follow(layer)
        self.refresh()

    @property
    def banner(self) -> str:
        """What the reader must know about the orientation; "" when there is nothing."""
        return self._banner

    def shown(self) -> dict[str, str]:
        """Letters on the screen, by side: left, right, top, bottom."""
        return {side: self._overlays[_name(side)].text for side in POSITIONS}

    def refresh(self, event: Any = None) -> None:
        """Write letters and banner for what is on the screen now."""
        layers = ours(self._viewer)
        right, up = screen_directions(self._viewer)
        texts = {"left": -right, "right": right, "top": up, "bottom": -up}
        known = all(_trusted(layer) for layer in layers)
        for side, direction in texts.items():
            text = letters(direction) or UNKNOWN if known else UNKNOWN
            self._overlays[_name(side)].text = text if layers else ""
        self._announce(_warning(layers))

    def close(self) -> None:
        """Take letters and banner away and listen no more."""
        for emitter in self._emitters:
            emitter.disconnect(self.refresh)
        self._viewer.layers.events.inserted.disconnect(self._on_inserted)
        self._viewer.layers.events.removed.disconnect(self._on_removed)
        for layer in self._viewer.layers:
            self._unfollow(layer)
        for side in (*POSITIONS, "banner"):
            del self._overlays[_name(side)]

    def _on_inserted(self, event: Any) -> None:
        self._follow(event.value)
        self.refresh()

    def _on_removed(self, event: Any) -> None:
        self._unfollow(event.value)
        self.refresh()

    def _follow(self, layer: Layer) -> None:
        for name in _MOVES:
            getattr(layer.events, name).connect(self.refresh)

    def _unfollow(self, layer: Layer) -> None:
        for name in _MOVES:
            getattr(layer.events, name).disconnect(self.refresh)

    def _announce(self, text: str) -> None:
        overlay = self._overlays[_name("banner")]
        overlay.text, overlay.visible = text, bool(text)
        if text != self._banner:
            self._banner = text
            self.banner_changed.emit(text)


def _trusted(layer: Layer) -> bool:
    info = info_of(layer)
    return info is not None and info.geometry.orientation_known and in_place(layer)


def _warning(layers: list[Layer]) -> str:
    lines = []
    infos = [info for layer in layers if (info := info_of(layer))]
    if any(not info.geometry.orientation_known for info in infos):
        lines.append("ORIENTATION UNKNOWN: left and right may be swapped")
    moved = [layer.name for layer in layers if not in_place(layer)]
    if moved:
        lines.append(f"{', '.join(moved)} was moved or turned: sides unknown")
    tilt = max((info.frame.tilt for info in infos if info.frame.oblique), default=0.0)
    if tilt:
        lines.append(f"oblique {tilt:.0f}°" if tilt >= 1 else f"oblique {tilt:.1f}°")
    return "\n".join(lines)


def _magnified(viewer: ViewerModel, low: NDArray[np.float64], high: NDArray[np.float64]) -> bool:
    """Whether only a part of the extent is on the canvas."""
    camera, shown = viewer.scene.camera, list(viewer.dims.displayed)
    if viewer.dims.ndisplay == 3:
        return False
    center = np.array(camera.center[-2:])
    inside = np.all((center >= low[shown]) & (center <= high[shown]))
    size = np.maximum(high[shown] - low[shown], 1e-6)
    return bool(inside and camera.zoom > 1.05 * np.min(np.array(viewer.canvas.size) / size))


def _point_in_sight(viewer: ViewerModel, low: NDArray[np.float64], high: NDArray[np.float64]) -> tuple[float, ...]:
    camera, dims = viewer.scene.camera, viewer.dims
    point = np.array(dims.point)
    if _magnified(viewer, low, high):
        for axis, middle, pixels in zip(dims.displayed, camera.center[-2:], viewer.canvas.size, strict=True):
            if abs(point[axis] - middle) > pixels / camera.zoom / 2:
                point[axis] = middle
    outside = (point < low) | (point > high)
    return tuple(float(v) for v in np.where(outside, (low + high) / 2, point))


def _order(ndim: int, order: tuple[int, int, int]) -> tuple[int, ...]:
    extra = ndim - 3
    return (*range(extra), *(extra + axis for axis in order))


def _name(side: str) -> str:
    return f"deferredseg_{side}"
