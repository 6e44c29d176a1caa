"""The plugin's page in napari's preferences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari.settings import get_plugin_settings

PLUGIN = "napari-deferredseg"


def _page() -> Any:
    """The `reading` page; None where napari does not know the plugin (it was not installed)."""
    try:
        return get_plugin_settings(PLUGIN).reading
    except (KeyError, AttributeError):
        return None


def last_project() -> Path | None:
    """Project folder that was open last, where it still is one."""
    page = _page()
    folder = Path(page.last_project) if page is not None and page.last_project else None
    return folder if folder is not None and (folder / "project.json").is_file() else None


def remember_project(folder: Path) -> None:
    """Keep a project folder for the next start."""
    page = _page()
    if page is not None:
        page.last_project = str(folder)


def last_reader() -> str:
    """Login that was chosen last, "" when none was."""
    page = _page()
    return str(page.last_reader) if page is not None else ""


def brush_size() -> int:
    """Diameter of the brush that a region starts with, voxels."""
    page = _page()
    return int(page.brush_size) if page is not None else 5


def remember_reader(login: str) -> None:
    """Keep a login for the next start."""
    page = _page()
    if page is not None:
        page.last_reader = login
