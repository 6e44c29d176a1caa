"""What the manifest names: widgets as napari makes them, and sample data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_deferredseg.core.frame import frame_of
from napari_deferredseg.io.formats import stem_of
from napari_deferredseg.io.phantom import make_phantom
from napari_deferredseg.widgets.panels.defer import DeferPanel
from napari_deferredseg.widgets.panels.export import ExportPanel
from napari_deferredseg.widgets.panels.run import RunPanel
from napari_deferredseg.widgets.panels.worklist import WorklistPanel
from napari_deferredseg.widgets.plugin.seats import seat_of
from napari_deferredseg.widgets.viewer.volume_layers import image_options, labels_options

if TYPE_CHECKING:
    import napari.viewer

    from napari_deferredseg.core.volume import LabelMap


# napari hands its viewer to a class whose `__init__` asks for one, not to a function.
class RunDock(RunPanel):
    """*Run deferral model*."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__(seat_of(viewer))


class DeferDock(DeferPanel):
    """*Defer to expert*."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__(seat_of(viewer))


class WorklistDock(WorklistPanel):
    """*My worklist*."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__(seat_of(viewer))


class ExportDock(ExportPanel):
    """*Export labels*."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__(seat_of(viewer))


def sample_abdomen() -> list[tuple[Any, dict[str, Any], str]]:
    """Generated abdomen with two AI masks that differ, as layers."""
    phantom = make_phantom()
    images = [(data, options, "image") for data, options in image_options(phantom.volume)]
    masks = [_labels_layer(x) for x in (phantom.first, phantom.second)]
    return [*images, *masks]


def _labels_layer(labels: LabelMap) -> tuple[Any, dict[str, Any], str]:
    options = labels_options(labels.geometry, labels.table, labels.source, stem_of(Path(labels.source)))
    return frame_of(labels.geometry).view(labels.array), options, "labels"
