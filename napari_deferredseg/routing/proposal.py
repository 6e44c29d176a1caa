"""What is proposed to readers, and what is left out and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_deferredseg.core.records import Region


@dataclass(frozen=True)
class Account:
    """Voxels that speak against a mask, and where they went.

    Attributes
    ----------
    compared : bool
        Whether masks were compared; else a map was cut.
    against : int
        Voxels where masks differ, or where the map reaches its floor.
    covered : int
        Voxels of the regions.
    specks : int
        Voxels in parts too small for a visit, near to nothing larger.
    unpaid : int
        Voxels that the budget does not pay for.
    reason : str
        Why it does not, after their number.
    faint : int
        Voxels where the map says something, but less than its floor: not worth a reader's minutes.
    foreground : int
        Voxels of the mask.
    next_piece : str
        What the first piece that the budget has no room for would take, such as "2.3 minutes"; empty where all fits.
    """

    compared: bool
    against: int
    covered: int
    specks: int
    unpaid: int
    reason: str
    faint: int
    foreground: int
    next_piece: str = ""

    def __str__(self) -> str:
        """One sentence: how much there is, how much is covered, what is left out and why."""
        if not self.against:
            return self._silence()
        share = f" ({self.against / self.foreground:.2%} of the AI's foreground)" if self.foreground else ""
        what = "the masks differ in" if self.compared else "the map reaches its floor in"
        left = ", ".join(self._left_out())
        return (
            f"{what} {self.against:,} voxels{share}; the regions cover {self.covered:,}"
            f"{', left out: ' + left if left else ''}"
        )

    def _left_out(self) -> Iterator[str]:
        if self.specks:
            yield f"{self.specks:,} in specks far from anything larger"
        if self.unpaid:
            more = f"; the next piece takes {self.next_piece}" if self.next_piece else ""
            yield f"{self.unpaid:,} {self.reason}{more}"
        if self.faint and not self.compared:
            yield f"{self.faint:,} where it says less than that"

    def _silence(self) -> str:
        if not self.foreground and not self.faint:
            return "the AI's mask is empty and nothing speaks against it"
        if self.compared:
            return "nothing speaks against the AI's mask: the masks do not differ (was the same output given twice?)"
        if self.faint:
            return f"what speaks against the AI's mask lies below the floor everywhere ({self.faint:,} voxels)"
        return "nothing speaks against the AI's mask"


@dataclass(frozen=True)
class Proposal:
    """Regions, numbered from 1 by falling sum of what speaks against the mask, and the account of what they leave."""

    regions: tuple[Region, ...]
    account: Account
