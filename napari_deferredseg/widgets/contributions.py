"""What the manifest names: makers of widgets, sample data, the demo."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_deferredseg.core.frame import frame_of
from napari_deferredseg.io.formats import stem_of
from napari_deferredseg.io.phantom import make_phantom
from napari_deferredseg.widgets.defer import DeferPanel
from napari_deferredseg.widgets.export import ExportPanel
from napari_deferredseg.widgets.run import RunPanel
from napari_deferredseg.widgets.stage import stage_of
from napari_deferredseg.widgets.volume_layers import image_options, labels_options
from napari_deferredseg.widgets.worklist import WorklistPanel

if TYPE_CHECKING:
    import napari.viewer

    from napari_deferredseg.core.volume import LabelMap


def make_run(viewer: napari.viewer.Viewer) -> RunPanel:
    """*Run deferral model*."""
    return RunPanel(stage_of(viewer))


def make_defer(viewer: napari.viewer.Viewer) -> DeferPanel:
    """*Defer to expert*."""
    return DeferPanel(stage_of(viewer))


def make_worklist(viewer: napari.viewer.Viewer) -> WorklistPanel:
    """*My worklist*."""
    return WorklistPanel(stage_of(viewer))


def make_export(viewer: napari.viewer.Viewer) -> ExportPanel:
    """*Export labels*."""
    return ExportPanel(stage_of(viewer))


def sample_abdomen() -> list[tuple[Any, dict[str, Any], str]]:
    """Generated abdomen with two AI masks that differ, as layers."""
    phantom = make_phantom()
    images = [(data, options, "image") for data, options in image_options(phantom.volume)]
    masks = [_labels_layer(x) for x in (phantom.first, phantom.second)]
    return [*images, *masks]


def _labels_layer(labels: LabelMap) -> tuple[Any, dict[str, Any], str]:
    options = labels_options(labels.geometry, labels.table, labels.source, stem_of(Path(labels.source)))
    return frame_of(labels.geometry).view(labels.array), options, "labels"
