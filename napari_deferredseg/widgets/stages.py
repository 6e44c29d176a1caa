"""One stage a viewer: made once, shared by its docked widgets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_deferredseg.usecases.log import open_log
from napari_deferredseg.usecases.reading.session import Session
from napari_deferredseg.widgets.keys import Keys
from napari_deferredseg.widgets.stage import Stage

if TYPE_CHECKING:
    from napari.viewer import Viewer


def make_stage(viewer: Viewer, session: Session) -> Stage:
    """Put a session, layers, mouse and keys on a viewer. From the first on, this process has a log."""
    open_log()
    stage = Stage(viewer, session)
    stage.attach(Keys(viewer, stage))
    return stage


def stage_of(viewer: Viewer) -> Stage:
    """Stage of a viewer: the one that its docked widgets share, or a new one."""
    for widget in viewer.window.dock_widgets.values():
        stage = getattr(widget, "stage", None)
        if isinstance(stage, Stage):
            return stage
    return make_stage(viewer, Session())
