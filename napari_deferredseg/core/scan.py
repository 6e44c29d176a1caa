"""What a segmentor is asked about: a volume, and boxes around what is to be drawn in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_deferredseg.core.volume import Volume


@dataclass(frozen=True)
class SliceBox:
    """A box around one structure in one slice.

    Attributes
    ----------
    label : int
        Value of the label it is about.
    z : int
        Slice of the volume's array.
    rows, columns : (int, int)
        Half-open spans of the volume's array.
    """

    label: int
    z: int
    rows: tuple[int, int]
    columns: tuple[int, int]


@dataclass(frozen=True)
class Scan:
    """A volume, and boxes for segmentors that need to be told where to look.

    `boxes` is None where nobody said, and empty where somebody looked and found nothing.
    """

    volume: Volume
    boxes: tuple[SliceBox, ...] | None = None
