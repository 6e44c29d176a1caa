"""One region under a reader's hand, from claim to submission."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from napari_deferredseg.core.boxes import Box, grown, slices, union
from napari_deferredseg.core.errors import Busy, InputError
from napari_deferredseg.core.records import Correction, State, Verdict, new_id
from napari_deferredseg.masks.overlap import MARGIN_MM, compose_box, support_of
from napari_deferredseg.store.base import LEASE
from napari_deferredseg.store.drafts.journal import Draft
from napari_deferredseg.usecases.reading.claiming import Claim, Wish, ask, release_unless_open, why_not
from napari_deferredseg.usecases.record.receipts import remember

if TYPE_CHECKING:
    from datetime import datetime

    from numpy.typing import NDArray

    from napari_deferredseg.core.records import Reader, WorkItem
    from napari_deferredseg.core.volume import Array
    from napari_deferredseg.usecases.project import Project
    from napari_deferredseg.usecases.reading.open_case import OpenCase

PAUSE_SECONDS = 30.0
"""A longer gap between two touches is a pause, not work."""


@dataclass
class Reading:
    """A region that a reader is working on.

    `work` is the case's editable labels (z, y, x) in file order, shared with whoever draws on it; this class learns of
    a change by `note_change`, and owns what happens to the labels in `box`.
    """

    project: Project
    case: OpenCase
    item: WorkItem
    reader: Reader
    work: Array
    started: datetime
    claimed: datetime
    box: Box
    correction_id: str = field(default_factory=new_id)
    supersedes: str | None = None
    active_seconds: float = 0.0
    recovered: bool = False
    note: str = ""
    _touched: datetime | None = None

    def touch(self, now: datetime) -> None:
        """Count the time since the last touch as work, unless it was a pause."""
        if self._touched is not None:
            gap = (now - self._touched).total_seconds()
            self.active_seconds += gap if 0 < gap <= PAUSE_SECONDS else 0.0
        self._touched = now

    def note_change(self, box: Box) -> None:
        """Something was written inside this box of `work`."""
        self.box = union(self.box, box)

    @property
    def before(self) -> Array:
        """Labels as found, inside `box`, a view."""
        return self.case.composed[slices(self.box)]

    @property
    def after(self) -> Array:
        """Labels as they are now, inside `box`, a view."""
        return self.work[slices(self.box)]

    @property
    def changed_voxels(self) -> int:
        """How many voxels differ from what was found."""
        return int(np.count_nonzero(self.before != self.after))

    def draft(self, now: datetime) -> Draft:
        """State of the crop, for the journal; its arrays are views."""
        return Draft(
            region_id=self.item.region.id,
            case_key=self.case.record.key,
            reader=self.reader.login,
            voxel_hash=self.case.record.voxel_hash,
            model_id=self.case.prediction.model_id,
            started=self.started,
            active_seconds=self.active_seconds,
            saved=now,
            box=self.box,
            before=self.before,
            after=self.after,
            note=self.note,
            id=self.correction_id,
            supersedes=self.supersedes or "",
        )

    def unlike_ai(self) -> tuple[tuple[NDArray[np.intp], ...], Array]:
        """Index of the voxels in the support that are unlike the AI's mask, and the AI's labels there."""
        box, support = self.support()
        ai = self.case.labels[slices(box)]
        where = np.nonzero((self.work[slices(box)] != ai) & support)
        return tuple(w + lo for w, (lo, _) in zip(where, box, strict=True)), ai[where]

    def question(self) -> str:
        """What the reader is asked, such as "Is this liver, as the AI says, or background?"."""
        region, table = self.item.region, self.case.prediction.table
        ai = _most(self.case.labels[slices(region.box)][region.mask])
        doubt = self.case.alternative[slices(region.box)][region.mask]
        other = _most(doubt[doubt != self.case.labels[slices(region.box)][region.mask]])
        said = table.name(0 if ai is None else ai)
        return f"Is this {said}, as the AI says{'' if other is None else f', or {table.name(other)}'}?"

    def support(self) -> tuple[Box, NDArray[np.bool_]]:
        """Box and mask of the voxels the reader answers for."""
        return support_of(self.item.region, self.box, self.before, self.after, self.case.record.geometry)


def wish_for(project: Project, case: OpenCase, item: WorkItem, reader: Reader, leaving: Reading | None = None) -> Wish:
    """Say what a reader wants; `ask` gets it, on any thread. An untouched region that is left for it is given back."""
    untouched = leaving is not None and _is_untouched(leaving)
    return Wish(
        project,
        case.record,
        item,
        reader,
        given_back=leaving.item.region.id if leaving is not None and untouched else None,
        leaving="" if leaving is None else leaving.correction_id,
    )


def opened(claim: Claim, case: OpenCase, work: Array, now: datetime, leaving: Reading | None = None) -> Reading | None:
    """Show what was claimed, and what this reader had painted on it before. None when somebody else holds it.

    The region that is left for it shows what was there before, as after `put_aside`, whether or not.
    """
    if leaving is not None:
        _restore(leaving)
        _close(leaving)
    if not claim.is_free:
        return None
    wish, old = claim.wish, claim.amends
    reading = Reading(
        wish.project,
        case,
        wish.item,
        wish.reader,
        work,
        now,
        now,
        _start_box(case, wish.item),
        correction_id=wish.draft_id,
        supersedes=old.id if old is not None else None,
        _touched=now,
    )
    if old is not None:
        _take_back(reading, old)
    if claim.draft is not None:
        _recover(reading, claim.draft, old)
    return reading


def begin(
    project: Project,
    case: OpenCase,
    item: WorkItem,
    reader: Reader,
    work: Array,
    now: datetime,
    leaving: Reading | None = None,
) -> Reading | None:
    """Claim a region and bring back what this reader had painted on it before.

    Returns None when somebody else holds it. A region that this reader has submitted is opened to be amended. The one
    that is left for it is put aside, as `put_aside` does, in the same transaction; after an InputError it is as it was.
    """
    return opened(ask(wish_for(project, case, item, reader, leaving)), case, work, now, leaving)


def submit(reading: Reading, verdict: Verdict, now: datetime) -> Correction:
    """Keep what the reader found, once. Afterwards the caller lets the draft go, and not before.

    Raises
    ------
    InputError
        The verdict contradicts what was painted, or the store refuses it (then nothing is lost: the draft stays).
    """
    reading.touch(now)
    changed = reading.changed_voxels
    if verdict is Verdict.EDITED and not changed:
        raise InputError("nothing is changed: press Accept if the AI is right, or paint first")
    if verdict is not Verdict.EDITED and changed:
        raise InputError(
            f"{changed} voxels are changed: press Submit to keep them, or reset the region to the AI first"
        )
    box, support = reading.support()
    correction = Correction(
        id=reading.correction_id,
        region_id=reading.item.region.id,
        case_key=reading.case.record.key,
        reader=reading.reader.login,
        model_id=reading.case.prediction.model_id,
        voxel_hash=reading.case.record.voxel_hash,
        started=reading.started,
        submitted=now,
        active_seconds=reading.active_seconds,
        verdict=verdict,
        box=box,
        before=reading.case.composed[slices(box)].copy(),
        after=reading.work[slices(box)].copy(),
        support=support,
        note=reading.note,
        supersedes=reading.supersedes,
    )
    remember(reading.project, reading.project.store.submit(correction))
    _close(reading)
    case = reading.case
    case.corrections[:] = [c for c in case.corrections if c.id != correction.supersedes] + [correction]
    case.regions[correction.region_id] = reading.item.region
    _show_settled(case, reading.work, union(reading.box, box))
    return correction


def keep_claim(reading: Reading, now: datetime) -> bool:
    """Extend the claim of a region that is worked on. False when it is not this reader's any more.

    What a lead has released is not claimed anew by itself: somebody else may be about to open it.
    """
    if reading.supersedes is not None:
        return True
    held, login = reading.project.store.standing(reading.item.region.id)[0], reading.reader.login
    if held.state is not State.CLAIMED or held.holder != login:
        return False
    if now - reading.claimed < LEASE / 3:
        return True
    reading.claimed = now
    return reading.project.store.claim(reading.item.region.id, login) is not None


def put_aside(reading: Reading) -> None:
    """Leave a region without submitting: the draft stays in the journal, the labels show what was there before.

    The caller has flushed the journal. An untouched region is given back, so that others of the group may take it.
    """
    if _is_untouched(reading):
        release_unless_open(reading.project, reading.reader, reading.item.region.id, reading.correction_id)
    _restore(reading)
    _close(reading)


def skip(reading: Reading) -> None:
    """Put a region off; a draft stays.

    Raises
    ------
    InputError
        It is submitted, or not this reader's any more.
    """
    if not reading.project.store.skip(reading.item.region.id, reading.reader.login):
        raise Busy(_not_yours(reading))
    _restore(reading)
    _close(reading)


def decline(reading: Reading, reason: str) -> None:
    """Refuse a region with a reason; a draft stays in the journal.

    Raises
    ------
    InputError
        No reason is given; the region is submitted, or not this reader's any more.
    """
    if not reading.project.store.decline(reading.item.region.id, reading.reader.login, reason):
        raise Busy(_not_yours(reading))
    _restore(reading)
    _close(reading)


def _close(reading: Reading) -> None:
    reading.project.journal.leave(reading.reader.login, reading.item.region.id, reading.correction_id)


def _is_untouched(reading: Reading) -> bool:
    return reading.supersedes is None and reading.changed_voxels == 0


def _not_yours(reading: Reading) -> str:
    if reading.supersedes is not None:
        return "you have submitted this region, and that stands: change it and submit, or go on with N"
    why = why_not(reading.project, reading.item, reading.reader)
    return f"{why} Go on with N; what you painted is kept on this computer."


def _most(values: Array) -> int | None:
    """Commonest of the label values, None where there are none."""
    return int(np.bincount(values).argmax()) if values.size else None


def _start_box(case: OpenCase, item: WorkItem) -> Box:
    z, y, x = (math.ceil(MARGIN_MM / s) for s in case.record.geometry.spacing_zyx)
    return grown(item.region.box, (z, y, x), case.record.geometry.shape)


def _recover(reading: Reading, draft: Draft, old: Correction | None) -> None:
    """Paint a draft's changed voxels again; voxels that others have settled since then stay as they are."""
    changed, place, work = draft.after != draft.before, slices(draft.box), reading.work
    found = work if old is None else reading.case.composed  # an amendment may take back what `old` says
    wanted = np.where(changed, draft.after, found[place])
    if np.array_equal(wanted, work[place]) and not draft.note:
        return
    reading.note_change(draft.box)
    if old is not None:
        work[slices(old.box)] = found[slices(old.box)]
    work[place] = wanted
    reading.started, reading.active_seconds = draft.started, draft.active_seconds
    reading.note, reading.recovered = draft.note, True


def _take_back(reading: Reading, old: Correction) -> None:
    """Show what was found before one's own correction as `before`, and the correction itself as the work so far."""
    case = reading.case
    others = [c for c in case.corrections if (c.region_id, c.reader) != (old.region_id, old.reader)]
    if all(c.id != old.id for c in case.corrections):  # submitted in another window since the case was opened
        case.corrections[:] = [*others, old]
        case.regions[old.region_id] = reading.item.region
        _show_settled(case, reading.work, old.box)
    reading.note_change(old.box)
    case.composed[slices(old.box)] = compose_box(case.labels, others, case.regions, old.box)


def _restore(reading: Reading) -> None:
    if reading.supersedes is not None:
        _show_settled(reading.case, reading.work, reading.box)
    else:
        reading.work[slices(reading.box)] = reading.case.composed[slices(reading.box)]


def _show_settled(case: OpenCase, work: Array, box: Box) -> None:
    """Show in a box what an export would write there."""
    settled = compose_box(case.labels, case.corrections, case.regions, box)
    case.composed[slices(box)] = settled
    work[slices(box)] = settled
