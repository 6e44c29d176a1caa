"""Ask which series of a DICOM folder is meant, where it holds several."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QInputDialog, QWidget

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.names import visible
from napari_deferredseg.io.dicom import list_series
from napari_deferredseg.widgets.qt.plain import as_tip

if TYPE_CHECKING:
    from pathlib import Path


def choose_series(path: Path, parent: QWidget | None = None) -> str | None:
    """UID of the series to read; None where there is nothing to choose.

    Raises
    ------
    InputError
        The folder cannot be read, or the question was dismissed.
    """
    if not path.is_dir():
        return None
    series = list_series(path)
    if len(series) < 2:
        return None
    lines = [visible(str(x)) for x in series]
    text = as_tip(f"{path.name} holds {len(series)} series. Which one?")
    line, chosen = QInputDialog.getItem(parent, "Which series?", text, lines, 0, False)
    if not chosen:
        raise InputError(f"{path}: no series was chosen, so nothing was opened")
    return series[lines.index(line)].uid
