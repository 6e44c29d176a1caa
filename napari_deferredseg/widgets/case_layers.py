"""The layers of an open case: the volume, the AI's mask, the deferral map, the regions, one's own correction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from napari.utils.colormaps import DirectLabelColormap

from napari_deferredseg.core.boxes import slices
from napari_deferredseg.core.frame import Frame, frame_of
from napari_deferredseg.core.records import State, WorkItem
from napari_deferredseg.widgets.tracked import TrackedArray
from napari_deferredseg.widgets.volume_layers import KEY, LayerInfo, add_volume, label_colormap, layer_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel
    from napari.layers import Image, Labels, Layer

    from napari_deferredseg.core.records import Reader
    from napari_deferredseg.core.volume import Array, LabelTable
    from napari_deferredseg.usecases.open_case import OpenCase

AI, DEFERRAL, REGIONS, CORRECTION = "AI mask", "Deferral map", "Regions by reader", "My correction"

# Colours that stay apart for colour-blind eyes (Okabe and Ito, 2008), without the ones that look like tissue.
PALETTE = ("#e69f00", "#56b4e9", "#f0e442", "#cc79a7", "#009e73", "#d55e00", "#0072b2", "#ffffff")
DONE = (State.SUBMITTED, State.SETTLED)


class CaseLayers:
    """Layers of one case in one viewer, bottom to top as listed above."""

    def __init__(
        self, viewer: ViewerModel, case: OpenCase, work: Array, items: Sequence[WorkItem], colors: dict[str, str]
    ) -> None:
        self.frame: Frame = frame_of(case.record.geometry)
        self._case = case
        self._owners = colors
        table = case.prediction.table
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
            **common,
        )
        self.tracked = TrackedArray(self.frame.view(work))
        self.correction: Labels = viewer.add_labels(
            self.tracked, name=CORRECTION, colormap=palette, opacity=0.3, visible=False, **common
        )
        self.correction.brush_size = 5
        self.correction.editable = False
        self._numbers = np.zeros(case.labels.shape, np.uint16)
        self.regions: Labels = viewer.add_labels(self.frame.view(self._numbers), name=REGIONS, opacity=0.95, **common)
        self.regions.contour = 1
        self.regions.editable = False
        self.show_regions(items)

    @property
    def overlays(self) -> tuple[Layer, ...]:
        """Every layer that covers the image."""
        return self.ai, self.defer, self.regions, self.correction

    @property
    def all(self) -> tuple[Layer, ...]:
        """Every layer of the case."""
        return (*self.images, *self.overlays)

    def show_regions(self, items: Sequence[WorkItem]) -> None:
        """Draw the regions, coloured by who holds them, and list them in the layer's features."""
        for item in items:
            here = self._numbers[slices(item.region.box)]
            here[item.region.mask] = item.region.number
        table = self._case.prediction.table
        self.regions.features = pd.DataFrame([_feature(item, table) for item in items])
        self.recolor_regions(items)

    def recolor_regions(self, items: Sequence[WorkItem], reading: str | None = None) -> None:
        """Show who holds each region now; what is done fades, the one that is read is white."""
        colors: dict[int | None, Any] = {None: (0, 0, 0, 0), 0: (0, 0, 0, 0)}
        for item in items:
            rgb = self._owners.get(item.assignment.reader or item.assignment.group or "", PALETTE[-1])
            alpha = 0.25 if item.assignment.state in DONE else 1.0
            if item.region.id == reading:
                rgb, alpha = "#ffffff", 1.0
            colors[item.region.number] = (*(int(rgb[i : i + 2], 16) / 255 for i in (1, 3, 5)), alpha)
        self.regions.colormap = DirectLabelColormap(color_dict=colors)

    def region_at(self, world: Any) -> int:
        """Number of the region under a point of the world; 0 where there is none."""
        index = np.round(self.regions.world_to_data(np.asarray(world)[-3:])).astype(int)
        inside = all(0 <= i < n for i, n in zip(index, self.regions.data.shape, strict=True))
        return int(self.regions.data[tuple(index)]) if inside else 0


def reader_colors(readers: Sequence[Reader]) -> dict[str, str]:
    """Colours (#rrggbb) of a project's readers and groups, the same in every case and widget."""
    names = [*sorted(r.login for r in readers), *sorted({g for r in readers for g in r.groups})]
    return {name: PALETTE[i % len(PALETTE)] for i, name in enumerate(names)}


def _feature(item: WorkItem, table: LabelTable) -> dict[str, Any]:
    region, held = item.region, item.assignment
    return {
        "index": region.number,
        "reader": held.reader or f"group {held.group}",
        "labels": ", ".join(table.name(v) for v in region.labels),
        "minutes": round(region.minutes, 1),
        "mm3": round(region.volume),
        "state": held.state.value,
        "note": region.note,
    }
