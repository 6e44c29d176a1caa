"""Colours: of readers, of links, in small squares before a name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtGui import QColor, QIcon, QPixmap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_deferredseg.core.records import Reader

LINK = "color: #8ab4f8"
"""Style of a link: Qt's own blue cannot be read on napari's dark ground."""

# Colours that stay apart for colour-blind eyes (Okabe and Ito, 2008), without the ones that look like tissue.
PALETTE = ("#e69f00", "#56b4e9", "#f0e442", "#cc79a7", "#009e73", "#d55e00", "#0072b2", "#ffffff")


def reader_colors(readers: Sequence[Reader]) -> dict[str, str]:
    """Colours (#rrggbb) of a project's readers and groups, the same in every case and widget."""
    names = [*sorted(r.login for r in readers), *sorted({g for r in readers for g in r.groups})]
    return {name: PALETTE[i % len(PALETTE)] for i, name in enumerate(names)}


def swatch(color: str) -> QIcon:
    """Small square of a colour (#rrggbb), to stand before a name."""
    square = QPixmap(12, 12)
    square.fill(QColor(color))
    return QIcon(square)
