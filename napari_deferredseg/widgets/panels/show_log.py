"""The log in the program that this computer shows text with."""

from __future__ import annotations

import logging

from qtpy.QtCore import QUrl
from qtpy.QtGui import QDesktopServices

from napari_deferredseg.core.log import log_file
from napari_deferredseg.usecases.log import log_folder

log = logging.getLogger(__name__)


def show_log() -> None:
    """Show this process's log; its folder, with those of earlier ones, where nothing is in it yet."""
    log.info("the log was shown")  # so that there is one
    file = log_file()
    shown = file if file is not None and file.exists() else log_folder()
    QDesktopServices.openUrl(QUrl.fromLocalFile(str(shown)))
