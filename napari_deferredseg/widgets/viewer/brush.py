"""The tools on one's own correction: where they reach, and what is said of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from napari_deferredseg.core.boxes import slices
from napari_deferredseg.core.errors import InputError
from napari_deferredseg.widgets.viewer.polygons import check_no_polygon, drop_polygon, paint_polygons_where_shown
from napari_deferredseg.widgets.viewer.reach import Area, ball, connected, cut
from napari_deferredseg.widgets.viewer.resting import Resting

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari.components import ViewerModel
    from napari.layers import Labels
    from numpy.typing import NDArray

    from napari_deferredseg.core.volume import LabelTable

IN_SLICE = 2
"""What napari calls the dimensions of a brush that stays in the slice on the screen."""

BALL_ENDS = "The ball ends at the region and its margin of 3 mm."
FILL_ENDS = "Fill across slices ends at the region and its margin of 3 mm."
OUTSIDE = "A brush or fill across slices paints in the region and its margin of 3 mm only."
FILLED = "The fill changed {count:,} voxels outside the region and its margin of 3 mm. Ctrl+Z takes it back."
REPLACED = "{name} keeps the case's own array: what was put in its place is gone again."
PRESERVING = "Preserve labels is on (B): only background is painted over until you press B again."
UNNAMED = "Label {value} has no name in this case, and would be exported without one: choose another one above."


class Brush:
    """Watches over the tools of a correction that is painted on.

    Across slices a brush is a ball in millimetres that ends, like fill, at the margin of the region. In one slice both
    reach as far as the hand goes.

    Attributes
    ----------
    said, warned : Signal(str)
        Lines for the reader.
    changed : Signal()
        Another label or tool is in the hand.
    """

    said = Signal(str)
    warned = Signal(str)
    changed = Signal()

    def __init__(self, layer: Labels, viewer: ViewerModel, data: NDArray[Any], table: LabelTable) -> None:
        self._layer = layer
        self._viewer = viewer
        self._area: Callable[[], Area] | None = None
        self._known: Area | None = None
        self._ball_key: tuple[float, ...] = ()
        self._ball_shape = np.ones((1, 1, 1), bool)
        self._told: set[str] = set()
        self._foreground = int(layer.selected_label)
        self._data = data
        self._table = table
        self.resting = Resting(layer, viewer)
        self.resting.told.connect(lambda line: self.warned.emit(line))
        paint_polygons_where_shown(layer, viewer, self.warned.emit)
        self._paint_in_slice, self._fill_in_slice = layer.paint, layer.fill
        layer.paint, layer.fill = self._paint, self._fill
        viewer.dims.events.order.connect(self._on_plane)
        layer.events.data.connect(self._on_data)
        layer.events.selected_label.connect(self._on_label)
        layer.events.mode.connect(self._on_mode)
        layer.events.preserve_labels.connect(self._on_preserve)

    def show(self, data: NDArray[Any], table: LabelTable) -> None:
        """Paint on other labels (z, y, x), in the layer's order, with other names."""
        self._data, self._table = data, table

    def begin(self, area: Callable[[], Area] | None) -> None:
        """Work on another region, in the layer's order; its area is asked for when it is needed first.

        What is left of a polygon in the last one is gone.
        """
        drop_polygon(self._layer)
        self._told.clear()
        self._known, self._area = None, area

    def check(self) -> None:
        """InputError while a polygon is not closed; then it is in the hand, within reach of Escape and mouse."""
        try:
            check_no_polygon(self._layer)
        except InputError:
            self._viewer.layers.selection.active = self._layer
            self.resting.take("polygon")
            raise

    def close(self) -> None:
        """Listen to the viewer no more."""
        self._viewer.dims.events.order.disconnect(self._on_plane)
        self.resting.close()

    @property
    def label(self) -> int:
        """What a stroke would paint now; 0 for background."""
        return 0 if self.resting.mode == "erase" else int(self._layer.selected_label)

    def _paint(self, coord: Sequence[float], new_label: int, refresh: bool = True) -> None:
        area = self._area_across()
        if area is None:
            self._paint_in_slice(coord, new_label, refresh)
            return
        part, is_cut = cut(self._ball(), [round(float(c)) for c in coord], area)
        if is_cut:
            self._say_once(BALL_ENDS)
        if part is not None:
            self._write(part, new_label, refresh)

    def _fill(self, coord: Sequence[float], new_label: int, refresh: bool = True) -> None:
        area = self._area_across()
        if area is None:
            self._fill_and_tell(coord, new_label, refresh)
            return
        seed = tuple(round(float(c)) for c in coord)
        inside = all(low <= s < high for s, (low, high) in zip(seed, area.box, strict=True))
        if not inside or not area.mask[tuple(s - low for s, (low, _) in zip(seed, area.box, strict=True))]:
            self.said.emit(OUTSIDE)
            return
        same = (
            connected(self._data, seed, area)
            if self._layer.contiguous
            else area.mask & (self._data[slices(area.box)] == self._data[seed])
        )
        self._say_once(FILL_ENDS)
        self._write(Area(area.box, same), new_label, refresh)

    def _fill_and_tell(self, coord: Sequence[float], new_label: int, refresh: bool) -> None:
        if self._area is None:
            self._fill_in_slice(coord, new_label, refresh)
            return
        key = self._slice_of(coord)
        before = self._data[key].copy()
        self._fill_in_slice(coord, new_label, refresh)
        changed = before != self._data[key]
        area = self._need_area()
        allowed = np.zeros(self._data.shape, bool)
        allowed[slices(area.box)] = area.mask
        if count := int((changed & ~allowed[key]).sum()):
            self.said.emit(FILLED.format(count=count))

    def _slice_of(self, coord: Sequence[float]) -> tuple[slice | int, ...]:
        """Index of the slice that a point of the layer lies in, as the viewer shows it."""
        key: list[slice | int] = [slice(None)] * self._layer.ndim
        for axis in self._viewer.dims.not_displayed:
            if (ours := axis - (self._viewer.dims.ndim - self._layer.ndim)) >= 0:
                key[ours] = round(float(coord[ours]))
        return tuple(key)

    def _write(self, part: Area, new_label: int, refresh: bool) -> None:
        """Paint as napari does one voxel after the other: seen, undone and redone with the rest of the stroke."""
        here = self._data[slices(part.box)]
        hit = part.mask & (here != new_label)
        if self._layer.preserve_labels:
            hit &= here == (0 if new_label else self._foreground)
        index = tuple(i + low for i, (low, _) in zip(hit.nonzero(), part.box, strict=True))
        if index[0].size:
            self._layer.data_setitem(index, new_label, refresh)

    def _area_across(self) -> Area | None:
        """Where to paint across slices; None where the tool stays in one, or no region is open."""
        return self._need_area() if self._layer.n_edit_dimensions >= self._layer.ndim and self._area else None

    def _need_area(self) -> Area:
        if self._known is None and self._area is not None:
            self._known = self._area()
        assert self._known is not None
        return self._known

    def _ball(self) -> NDArray[np.bool_]:
        """As wide as the circle that napari shows around the cursor."""
        layer = self._layer
        spacing = [abs(float(step)) for step in layer.scale]
        first = self._viewer.dims.ndim - layer.ndim
        unit = min(spacing[axis - first] for axis in self._viewer.dims.displayed if axis >= first)
        key = (unit, *spacing, int(layer.brush_size))
        if key != self._ball_key:
            self._ball_key = key
            self._ball_shape = ball((layer.brush_size // 2 + 0.5) * unit, spacing)
        return self._ball_shape

    def _say_once(self, line: str) -> None:
        if line not in self._told:
            self._told.add(line)
            self.said.emit(line)

    def _on_plane(self, event: Any = None) -> None:
        """Napari keeps the circle around the cursor as the last plane had it, and paints another one."""
        self._layer.brush_size = self._layer.brush_size

    def _on_data(self, event: Any = None) -> None:
        """Napari's menu and scripts can put another array in a layer, and what is painted on it would go nowhere."""
        if not np.may_share_memory(np.asarray(self._layer.data), self._data):
            self._layer.data = self._data
            self.warned.emit(REPLACED.format(name=self._layer.name))

    def _on_label(self, event: Any = None) -> None:
        value = int(self._layer.selected_label)
        self._foreground = value or self._foreground
        if value and value not in self._table:
            self.warned.emit(UNNAMED.format(value=value))
        self.changed.emit()

    def _on_mode(self, event: Any = None) -> None:
        if str(self._layer.mode) == "polygon" and self._layer.n_edit_dimensions != IN_SLICE:
            self._layer.n_edit_dimensions = IN_SLICE  # napari's polygon does nothing across slices, and does not say so
        self.changed.emit()

    def _on_preserve(self, event: Any = None) -> None:
        if self._layer.preserve_labels:
            self.said.emit(PRESERVING)
