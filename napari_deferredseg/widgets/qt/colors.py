"""Colours: of readers, of links, in small squares before a name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtGui import QColor, QIcon, QPixmap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_deferredseg.core.records import Reader

LINK = "color: #8ab4f8"
"""Style of a link: Qt's own blue cannot be read on napari's dark ground."""


def reader_colors(readers: Sequence[Reader], palette: Sequence[str]) -> dict[str, str]:
    """Colours (#rrggbb) of a project's readers and groups, the same in every case and widget."""
    names = [*sorted(r.login for r in readers), *sorted({g for r in readers for g in r.groups})]
    return {name: palette[i % len(palette)] for i, name in enumerate(names)}


def swatch(color: str) -> QIcon:
    """Small square of a colour (#rrggbb), to stand before a name."""
    square = QPixmap(12, 12)
    square.fill(QColor(color))
    return QIcon(square)
