"""What is proposed to readers, and what is left out and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_deferredseg.core.records import Region

FAR = "far from anything larger that is sent"


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
    speck_reason : str
        Which specks they are and why they are left out, after their number.
    ended : int
        Voxels in parts that are too small because the budget ends in them.
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
    within : tuple of int
        Numbers of the regions that end within a slice, in the middle of what is connected there.
    least : float
        Lowest value of a map that is read.
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
    within: tuple[int, ...] = ()
    least: float = 0.0
    speck_reason: str = FAR
    ended: int = 0

    def __str__(self) -> str:
        """One sentence: how much there is, how much is covered, what is left out and why."""
        if not self.against:
            return self._silence()
        share = f" ({self.against / self.foreground:.2%} of the AI's foreground)" if self.foreground else ""
        what = "the masks differ in" if self.compared else f"the deferral map reaches {self._least()}, in"
        return "; ".join(
            (f"{what} {_voxels(self.against)}{share}", f"the regions cover {self._covered()}", *self._left_out())
        )

    def _covered(self) -> str:
        if self.covered == self.against:
            return "all of these"
        return f"{self.covered:,} of these" if self.covered else "none of these"

    def _left_out(self) -> Iterator[str]:
        if self.within:
            yield self._ends()
        left = []
        if self.specks:
            left.append(f"{_voxels(self.specks)} in specks {self.speck_reason}")
        if self.ended:
            left.append(f"{_voxels(self.ended)} in specks where the budget ends")
        if self.unpaid:
            more = f" (the next piece takes {self.next_piece})" if self.next_piece else ""
            left.append(f"{_voxels(self.unpaid)} {self.reason}{more}")
        if left:
            yield f"left out: {' and '.join(left)}"
        if self.faint and not self.compared:
            yield f"{self.faint:,} more, where the map is above zero but below {self.least:.2g}, are never sent"

    def _ends(self) -> str:
        numbers = ", ".join(str(number) for number in self.within)
        what = f"region {numbers} ends" if len(self.within) == 1 else f"regions {numbers} end"
        return f"{what} within a slice, since what is connected there is too much for one region or for the budget"

    def _least(self) -> str:
        return f"{self.least:.2g}, the least that is read"

    def _silence(self) -> str:
        if not self.foreground and not self.faint:
            return "the AI's mask is empty and nothing speaks against it"
        if self.compared:
            return "nothing speaks against the AI's mask: the masks do not differ (was the same output given twice?)"
        if self.faint:
            return f"the deferral map reaches {self._least()}, nowhere; it is above zero in {_voxels(self.faint)}"
        return "nothing speaks against the AI's mask: the deferral map is zero everywhere"


def _voxels(count: int) -> str:
    return f"{count:,} voxel" + ("" if count == 1 else "s")


@dataclass(frozen=True)
class Proposal:
    """Regions, numbered from 1 by falling sum of what speaks against the mask, and the account of what they leave."""

    regions: tuple[Region, ...]
    account: Account
