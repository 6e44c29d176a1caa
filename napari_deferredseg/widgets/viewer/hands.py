"""The mouse as radiologists have it in their hands: wheel for slices, right drag for the window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from napari.layers import Image

from napari_deferredseg.widgets.viewer.cursor_line import CursorLine
from napari_deferredseg.widgets.viewer.volume_layers import info_of
from napari_deferredseg.widgets.viewer.window_level import moved_window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_deferredseg.core.boxes import Box
    from napari_deferredseg.core.frame import Frame

ZOOM_PER_NOTCH = 1.15
SURROUNDINGS = 60.0
"""What is seen around a region after a jump, mm, both sides together."""
STEADY = 1.25
"""How much smaller than it could be a region may be shown, so that the magnification need not change."""

_PIXELS_PER_WIDTH = 300
_RIGHT = 2


class Attached(Protocol):
    """Something installed on a viewer."""

    def uninstall(self) -> None:
        """Give the viewer back as it was."""


class Hands:
    """Mouse bindings for reading volumes, the line under the cursor, and the scale bar.

    The wheel moves through slices, down towards feet, back and left; with Ctrl, and in 3-D, it zooms about the cursor.
    A right drag changes the window of the active image, or of the topmost visible one, whatever tool is in use: to the
    right for a wider window, up for a brighter picture. napari's own uses of the right button (encircle and fill,
    taking back a polygon's last point) rest until `uninstall`.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._wheel = 0.0
        self._scale_bar = viewer.canvas.overlays.scale_bar
        self._before: dict[str, Any] = {
            "mouse_zoom": viewer.scene.camera.mouse_zoom,
            "scale_bar": self._scale_bar.visible,
            "wheel": list(viewer.mouse_wheel_callbacks),
        }
        viewer.scene.camera.mouse_zoom = False
        self._scale_bar.visible = True
        # napari's own would move a slice on Ctrl+wheel, which is our zoom
        viewer.mouse_wheel_callbacks[:] = [f for f in viewer.mouse_wheel_callbacks if f.__name__ != "dims_scroll"]
        viewer.mouse_wheel_callbacks.append(self._on_wheel)
        viewer.mouse_drag_callbacks.append(self._on_drag)
        viewer.layers.selection.events.active.connect(self._keep_zoom_off)
        self.cursor_line = CursorLine(viewer)

    def uninstall(self) -> None:
        """Give the viewer back as it was."""
        viewer = self._viewer
        self.cursor_line.close()
        viewer.layers.selection.events.active.disconnect(self._keep_zoom_off)
        viewer.mouse_drag_callbacks.remove(self._on_drag)
        viewer.mouse_wheel_callbacks.remove(self._on_wheel)
        added = [f for f in viewer.mouse_wheel_callbacks if f not in self._before["wheel"]]
        viewer.mouse_wheel_callbacks[:] = [*self._before["wheel"], *added]
        viewer.scene.camera.mouse_zoom = self._before["mouse_zoom"]
        self._scale_bar.visible = self._before["scale_bar"]

    def _keep_zoom_off(self, event: Any = None) -> None:
        """Napari takes the wheel back whenever another layer becomes active."""
        self._viewer.scene.camera.mouse_zoom = False

    def _on_wheel(self, viewer: ViewerModel, event: Any) -> None:
        notches = float(event.delta[1])
        if "Control" in event.modifiers or viewer.dims.ndisplay == 3:
            zoom_about(viewer, event.position, ZOOM_PER_NOTCH**notches)
        elif "Alt" not in event.modifiers and viewer.dims.ndim > 2:
            self._wheel += notches
            whole = int(self._wheel)
            self._wheel -= whole
            scroll(viewer, -whole)

    def _on_drag(self, viewer: ViewerModel, event: Any) -> Iterator[None]:
        image = image_to_window(viewer)
        if event.button != _RIGHT or image is None:
            return
        release = _withhold_press(viewer.layers.selection.active)
        camera = viewer.scene.camera
        pan, camera.mouse_pan = camera.mouse_pan, False
        start, limits = np.array(event.pos), tuple(image.contrast_limits)
        unit = (limits[1] - limits[0]) / _PIXELS_PER_WIDTH
        try:
            yield
            while event.type == "mouse_move":
                right, down = np.array(event.pos) - start
                low, high = moved_window(limits, float(right), float(-down), unit)
                image.contrast_limits = low, high
                self.cursor_line.say(f"W {high - low:g}  L {(low + high) / 2:g}")
                yield
        finally:
            camera.mouse_pan = pan
            release()


def image_to_window(viewer: ViewerModel) -> Image | None:
    """Image layer that the window belongs to: the active one, else the topmost visible one."""
    active = viewer.layers.selection.active
    if isinstance(active, Image):
        return active
    return next((x for x in reversed(viewer.layers) if isinstance(x, Image) and x.visible), None)


def scroll(viewer: ViewerModel, steps: int) -> None:
    """Move by slices: forward is towards the feet, to the back, to the left.

    Slices are those of the topmost visible layer of ours; napari's steps are the finest of all layers.
    """
    dims = viewer.dims
    axis = dims.order[-3]
    ours_axis = axis - (dims.ndim - 3)
    steps = -steps if ours_axis == 0 else steps
    info = next((info for layer in reversed(viewer.layers) if layer.visible and (info := info_of(layer))), None)
    if info is None or ours_axis < 0:
        step = dims.current_step[axis] + steps
        dims.set_current_step(axis, int(np.clip(step, 0, dims.nsteps[axis] - 1)))
        return
    index = np.round(info.frame.index(dims.point[-3:]))
    index[ours_axis] += steps * np.sign(info.frame.scale[ours_axis])
    index = np.clip(index, 0, np.array(info.frame.shape) - 1)
    dims.set_point(axis, float(info.frame.world(index)[ours_axis]))


def zoom_about(viewer: ViewerModel, world: Sequence[float], factor: float) -> None:
    """Zoom, keeping a point of the world where it is on the screen (in 3-D, keeping the centre)."""
    camera = viewer.scene.camera
    if viewer.dims.ndisplay == 2:
        fixed = np.array([world[axis] for axis in viewer.dims.displayed])
        center = np.array(camera.center[-2:])
        camera.center = (0.0, *(fixed + (center - fixed) / factor))
    camera.zoom *= factor


def jump(viewer: ViewerModel, box: Box, frame: Frame, center: Sequence[float] | None = None) -> None:
    """Bring a box of the view to the middle of the screen, with some surroundings.

    The magnification stays as it is where that shows box and surroundings nearly as large.

    Parameters
    ----------
    box : Box
        Of the view's indices, see `Frame.box_to_view`.
    center : (3,), optional
        Index of the view whose slices are shown; the middle of the box unless given.
    """
    camera, dims = viewer.scene.camera, viewer.dims
    corners = frame.world(np.array(box).T - 0.5)
    middle = corners.mean(axis=0)
    point = frame.world(np.round(frame.index(middle)) if center is None else center)
    dims.point = (*dims.point[:-3], *(float(v) for v in point))
    first = dims.ndim - 3
    shown = [axis - first for axis in dims.displayed]
    size = np.abs(corners[1] - corners[0])[shown][-2:] + SURROUNDINGS
    camera.center = tuple(float(v) for v in (middle if dims.ndisplay == 3 else (0.0, *middle[shown])))
    fit = float(np.min(np.array(viewer.canvas.size) / size))
    if not fit / STEADY <= camera.zoom <= fit:
        camera.zoom = fit


def _withhold_press(layer: Layer | None) -> Callable[[], None]:
    """Keep the press in progress from the layer's own tools; afterwards, or when called, they are back.

    napari calls the viewer's callbacks first and then each of the layer's, so a stand-in that puts the list back is
    all they find.
    """
    if layer is None:
        return lambda: None
    tools = layer.mouse_drag_callbacks

    def put_back(*_: Any) -> None:
        layer.mouse_drag_callbacks = tools

    layer.mouse_drag_callbacks = [put_back]
    return put_back
