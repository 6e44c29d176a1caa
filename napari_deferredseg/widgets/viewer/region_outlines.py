"""The layer *Regions by reader*: every region outlined in the colour of whoever holds it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from napari.utils.colormaps import CyclicLabelColormap

from napari_deferredseg.core.boxes import slices
from napari_deferredseg.widgets.qt.plain import unmarked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari.components import ViewerModel

    from napari_deferredseg.core.frame import Frame
    from napari_deferredseg.core.geometry import Shape
    from napari_deferredseg.core.records import WorkItem
    from napari_deferredseg.core.volume import LabelTable

NAME = "Regions by reader"
WHITE = "#ffffff"
FADED = 0.25
ROOM = 1000
"""Regions that may be drawn in a case after it was opened."""


class RegionOutlines:
    """Regions in the colours of their readers, faded when done; a picked one is white.

    While one is read that is white, and all others but the picked one fade.

    A voxel's value says both whose region it belongs to and what colour that has at present. The table of colours
    stays as it is, since napari needs 30 ms for a new one, and a few voxels are rewritten instead.

    Parameters
    ----------
    shape : (z, y, x)
        Of the case, in file order.
    owners : mapping of login or group to colour (#rrggbb)
    items : sequence of WorkItem
        All regions of the case.
    options : mapping
        Where the layer stands: keyword arguments of ``viewer.add_labels``.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        shape: Shape,
        frame: Frame,
        table: LabelTable,
        owners: Mapping[str, str],
        items: Sequence[WorkItem],
        options: Mapping[str, Any],
    ) -> None:
        self._table = table
        self._frame = frame
        self._begin(shape, owners, items)
        self.layer = viewer.add_labels(
            frame.view(self._values), name=NAME, colormap=self._colormap(), opacity=0.7, **dict(options)
        )
        self.layer.contour = 1
        self.layer.editable = False
        self.show(items)
        self.describe(items)

    def restart(self, items: Sequence[WorkItem], table: LabelTable, owners: Mapping[str, str]) -> None:
        """Show the regions of a later run, with labels and readers that may be others, in the layer that is there."""
        self._table = table
        before = self._color_table()
        self._begin(self._values.shape, owners, items)
        self.layer.data = self._frame.view(self._values)
        if self._color_table() != before:
            self.layer.colormap = self._colormap()
        self.show(items)
        self.describe(items)

    def _begin(self, shape: Shape, owners: Mapping[str, str], items: Sequence[WorkItem]) -> None:
        self._owners = owners
        self._colors = list(dict.fromkeys((*owners.values(), WHITE)))
        self._codes = 2 * len(self._colors) + 1
        self._items: Sequence[WorkItem] = items
        self._reading: str | None = None
        self._picked: str | None = None
        self._shown: dict[str, int] = {}
        most = max((item.region.number for item in items), default=0) + ROOM
        self._values = np.zeros(shape, np.min_scalar_type((most + 1) * self._codes))

    def recolor(self, owners: Mapping[str, str]) -> None:
        """Give readers and groups these colours from now on, in the layer that is there."""
        if owners == self._owners:
            return
        items, reading, picked, before = self._items, self._reading, self._picked, self._color_table()
        self._begin(self._values.shape, owners, items)
        self._picked = picked
        self.layer.data = self._frame.view(self._values)
        if self._color_table() != before:
            self.layer.colormap = self._colormap()
        self.show(items, reading)
        self.describe(items)

    def show(self, items: Sequence[WorkItem], reading: str | None = None) -> None:
        """Show who holds each region now; `reading` is the id of one."""
        self._items, self._reading = items, reading
        self._rewrite()

    def pick(self, item: WorkItem | None) -> None:
        """Mark the region that is talked about; None for no more."""
        self._picked = None if item is None else item.region.id
        self._rewrite()
        self.describe(self._items)

    def _rewrite(self) -> None:
        wanted = {item.region.id: self._value(item) for item in self._items}
        changed = [item for item in self._items if self._shown.get(item.region.id) != wanted[item.region.id]]
        if not changed:
            return
        for item in changed:
            here = self._values[slices(item.region.box)]
            before = self._shown.get(item.region.id)
            here[item.region.mask if before is None else here == before] = wanted[item.region.id]
        self._shown = wanted
        self.layer.refresh(extent=False, thumbnail=False)

    def describe(self, items: Sequence[WorkItem]) -> None:
        """List the regions in the layer's features, as they were shown last."""
        rows = [_feature(item, self._table) | {"index": self._shown[item.region.id]} for item in items]
        self.layer.features = pd.DataFrame(rows)

    def at(self, world: Any) -> int:
        """Number of the region under a point of the world; 0 where there is none."""
        index = np.round(self.layer.world_to_data(np.asarray(world)[-3:])).astype(int)
        inside = all(0 <= i < n for i, n in zip(index, self.layer.data.shape, strict=True))
        value = int(self.layer.data[tuple(index)]) if inside else 0
        return (value - 1) // self._codes if value else 0

    def _value(self, item: WorkItem) -> int:
        """A region's number, and which row of the colour table it has."""
        held, reads = item.assignment, self._reading is not None
        is_picked = item.region.id == self._picked
        code = self._colors.index(self._owners.get(held.reader or held.group or "", WHITE))
        if not is_picked and (reads or held.state.is_done):
            code += len(self._colors)
        if item.region.id == self._reading or (is_picked and not reads):
            code = self._codes - 1
        return item.region.number * self._codes + code + 1

    def _colormap(self) -> CyclicLabelColormap:
        return CyclicLabelColormap(colors=self._color_table())

    def _color_table(self) -> list[tuple[float, ...]]:
        rgb = [tuple(int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)) for color in self._colors]
        return [(0.0,) * 4, *((*c, 1.0) for c in rgb), *((*c, FADED) for c in rgb), (1.0,) * 4]


def _feature(item: WorkItem, table: LabelTable) -> dict[str, Any]:
    """What napari's status bar says of a region under the cursor."""
    region, held = item.region, item.assignment
    return {
        "region": region.number,
        "reader": unmarked(held.reader or f"group {held.group}"),
        "labels": unmarked(", ".join(table.name(v) for v in region.labels)),
        "minutes": round(region.minutes, 1),
        "mm3": round(region.volume),
        "state": held.state.value,
        "note": unmarked(item.note),
    }
