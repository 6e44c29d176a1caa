"""`deferredseg settings`."""

from __future__ import annotations

from napari_deferredseg.cli.console import out, settings


def show_settings() -> None:
    """Print the settings of whoever types, defaults included, and the file that keeps what differs from them."""
    from napari_deferredseg.usecases.settings import settings_file

    found = settings()
    out.print(f"{settings_file()}:")
    out.print(found.model_dump_json(indent=2))
