"""The layers of an open case: the volume, the AI's mask, the deferral map, the regions, one's own correction."""

from __future__ import annotations

import gc
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels

from napari_deferredseg.core.frame import Frame, frame_of
from napari_deferredseg.widgets.viewer.anchors import Anchors
from napari_deferredseg.widgets.viewer.brush import IN_SLICE, Brush
from napari_deferredseg.widgets.viewer.region_outlines import RegionOutlines
from napari_deferredseg.widgets.viewer.tracked import TrackedArray, reset_undo
from napari_deferredseg.widgets.viewer.volume_layers import (
    DRAWING,
    KEY,
    LayerInfo,
    add_volume,
    in_place,
    label_colormap,
    layer_options,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel
    from napari.layers import Image, Layer

    from napari_deferredseg.core.records import WorkItem
    from napari_deferredseg.core.volume import Array, LabelTable
    from napari_deferredseg.usecases.reading.open_case import OpenCase

AI, DEFERRAL, CORRECTION = "AI mask", "Deferral map", "My correction"

MILLIMETRES = {"millimeter", "mm"}


class CaseLayers:
    """Layers of one case in one viewer, bottom to top as listed above.

    `brush_size` (voxels) is what every region starts with, `colors` (#rrggbb) those of readers and groups.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        case: OpenCase,
        work: Array,
        items: Sequence[WorkItem],
        colors: dict[str, str],
        brush_size: int,
    ) -> None:
        self.case = case.record
        self.frame: Frame = frame_of(case.record.geometry)
        self._table = table = case.prediction.table
        info = LayerInfo(case.record.geometry, self.frame, case.record.source, table, case.record.modality)
        common: dict[str, Any] = {"metadata": {KEY: info}, **layer_options(self.frame)}
        palette = label_colormap(table)
        self.images: list[Image] = add_volume(viewer, case.volume)
        for image in self.images:
            image.interpolation2d = "linear"
        self.ai: Labels = viewer.add_labels(
            self.frame.view(case.labels), name=AI, colormap=palette, opacity=0.35, **common
        )
        self.ai.editable = False
        self.defer: Image = viewer.add_image(
            self.frame.view(case.defer),
            name=DEFERRAL,
            colormap="magma",
            contrast_limits=(0.0, 1.0),
            blending="additive",
            opacity=0.7,
            visible=False,
            **common | {"metadata": {KEY: replace(info, quantity="deferral")}},
        )
        self._map_waits = False
        self.tracked = TrackedArray(self.frame.view(work))
        self.correction: Labels = viewer.add_labels(
            self.tracked, name=CORRECTION, colormap=palette, opacity=0.3, visible=False, **common
        )
        self._brush_size = self.correction.brush_size = brush_size
        self.correction.editable = False
        self.brush = Brush(self.correction, viewer, self.tracked, table)
        common["metadata"] = {KEY: replace(info, table=None)}
        self.outlines = RegionOutlines(viewer, case.labels.shape, self.frame, table, colors, items, common)
        self.anchors = Anchors(self.all, self.frame)

    @property
    def regions(self) -> Labels:
        """Outlines of the regions."""
        return self.outlines.layer

    def in_hand(self, *, is_reading: bool) -> Labels:
        """The layer that hands work on: one's correction while a region is read, else the regions."""
        return self.correction if is_reading else self.regions

    def drawn_on(self, active: Layer | None) -> bool:
        """Whether hands draw on the active layer, so that a click there is a stroke."""
        return isinstance(active, Labels) and active != self.regions and active != self.ai

    @property
    def overlays(self) -> tuple[Layer, ...]:
        """Every layer that covers the image."""
        return self.ai, self.defer, self.regions, self.correction

    @property
    def all(self) -> tuple[Layer, ...]:
        """Every layer of the case."""
        return (*self.images, *self.overlays)

    def fit(self, viewer: ViewerModel, case: OpenCase) -> bool:
        """Whether these layers can show a case: its image is the one they show, and nobody has touched their grid."""
        same_image = (self.case.key, self.case.voxel_hash) == (case.record.key, case.record.voxel_hash)
        return same_image and all(layer in viewer.layers and in_place(layer) for layer in self.all)

    def take(self, case: OpenCase, work: Array, items: Sequence[WorkItem], colors: dict[str, str]) -> None:
        """Show what a later run says of the same image; napari needs 0.3 s for each layer that is made anew."""
        self.case = case.record
        for number, image in enumerate(self.images):
            image.data = self.frame.view(case.volume.channel(number))
        self.ai.data = self.frame.view(case.labels)
        self.defer.data = self.frame.view(case.defer)
        self.tracked = TrackedArray(self.frame.view(work))
        self.brush.show(self.tracked, case.prediction.table)
        self.correction.data = self.tracked
        reset_undo(self.correction)
        if case.prediction.table != self._table:
            self._rename(case.prediction.table)
        self.outlines.restart(items, self._table, colors)

    def _rename(self, table: LabelTable) -> None:
        self._table = table
        for layer in (self.ai, self.correction):
            layer.colormap = label_colormap(table)
        for layer in (self.ai, self.defer, self.correction):
            layer.metadata[KEY] = replace(layer.metadata[KEY], table=table)

    def leave(self, viewer: ViewerModel) -> None:
        """Take the layers out of the viewer, as far as nobody has done so."""
        self.anchors.close()
        self.brush.close()
        gc.freeze()  # napari collects garbage anew for each layer, a quarter of a second in a session with much in it
        try:
            for layer in self.all:
                if layer in viewer.layers:
                    viewer.layers.remove(layer)
        finally:
            gc.unfreeze()

    def check(self) -> None:
        """InputError when what is shown is not what would be kept; then it is put right, to be looked at again."""
        self.anchors.check()
        self.brush.check()

    def center(self, item: WorkItem) -> tuple[int, int, int]:
        """Index of the layers' voxel in the middle of a region."""
        index = np.round(item.case.geometry.index(item.region.center)).astype(int)
        s, p, left = (int(i) for i in self.frame.to_view(index))
        return s, p, left

    def show_reading(self, is_reading: bool) -> None:
        """While a region is read, the AI's mask is an outline and one's own correction is shown and can be painted.

        The deferral map would sway the reader: it is hidden, and comes back afterwards.
        """
        map_shown = self.defer.visible or self._map_waits
        self._map_waits = map_shown and is_reading
        wanted = (
            (self.defer, "visible", map_shown and not is_reading),
            (self.correction, "visible", is_reading),
            (self.correction, "editable", is_reading),
            # each region starts with the same tools, whatever was set or pressed by mistake in the one before
            (self.correction, "preserve_labels", False),
            (self.correction, "n_edit_dimensions", IN_SLICE),
            (self.correction, "contiguous", True),
            (self.correction, "show_selected_label", False),
            (self.correction, "brush_size", self._brush_size),
            (self.ai, "contour", int(is_reading)),
            (self.ai, "opacity", 0.9 if is_reading else 0.35),
        )
        for layer, name, value in wanted:
            if getattr(layer, name) != value:  # napari draws a layer anew whatever is set
                setattr(layer, name, value)


def layers_for(
    viewer: ViewerModel,
    shown: CaseLayers | None,
    case: OpenCase,
    work: Array,
    items: Sequence[WorkItem],
    colors: dict[str, str],
    brush_size: int,
) -> CaseLayers:
    """Layers of a case: those shown at present where they fit it, else new ones in their place."""
    if shown is not None and shown.fit(viewer, case):
        shown.take(case, work, items, colors)
        return shown
    if shown is not None:
        shown.leave(viewer)
    return CaseLayers(viewer, case, work, items, colors, brush_size)


def beside(viewer: ViewerModel, layers: CaseLayers) -> str:
    """What to know of the user's own layers beside a case's; "" where there are none."""
    own = [layer for layer in viewer.layers if layer not in layers.all and DRAWING not in layer.metadata]
    if not own:
        return ""
    units = {str(unit) for layer in own for unit in layer.units[-2:]}
    lost = "" if units <= MILLIMETRES else " While they are there, the scale bar counts without millimetres."
    names = ", ".join(layer.name for layer in own)
    return f"Left as they are, below a copy of our own: {names}. Hide what disturbs.{lost}"
