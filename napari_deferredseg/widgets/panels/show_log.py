"""The log in the program that this computer shows text with."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from qtpy.QtCore import QUrl
from qtpy.QtGui import QDesktopServices

from napari_deferredseg.core.log import log_file
from napari_deferredseg.usecases.log import log_folder

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)


def show_log(tell: Callable[[str], object]) -> None:
    """Show this process's log; its folder, with those of earlier ones, where nothing is in it yet.

    `tell` gets a line with the folder where nothing can be shown.
    """
    log.info("the log was shown")  # so that there is one
    file = log_file()
    shown = file if file is not None and file.exists() else log_folder()
    if not shown.exists():
        tell(f"There is no log: it would be kept in {shown}, which does not exist.")
    elif not QDesktopServices.openUrl(QUrl.fromLocalFile(str(shown))):
        tell(f"No program here opens the log: it is in {log_folder()}.")
