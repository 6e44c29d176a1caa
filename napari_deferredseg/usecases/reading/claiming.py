"""Asking for a region: what waits on a disk or a database, apart from what happens to labels. Any thread may do it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from napari_deferredseg.core.names import shortened
from napari_deferredseg.core.records import State, new_id

if TYPE_CHECKING:
    from napari_deferredseg.core.records import CaseRecord, Correction, Reader, WorkItem
    from napari_deferredseg.store.drafts.journal import Draft
    from napari_deferredseg.usecases.project import Project


@dataclass(frozen=True)
class Wish:
    """A region that a reader wants.

    Attributes
    ----------
    given_back : str or None
        Id of the region that is left for it and that nobody has touched.
    leaving : str
        Id of the draft that the same window works on until now, or "".
    draft_id : str
        Of the correction that the region's draft is to become.
    """

    project: Project
    case: CaseRecord
    item: WorkItem
    reader: Reader
    given_back: str | None = None
    leaving: str = ""
    draft_id: str = field(default_factory=new_id)


@dataclass(frozen=True)
class Claim:
    """What came of a wish.

    Attributes
    ----------
    is_free : bool
        False when somebody else holds the region, or it is done.
    amends : Correction or None
        What this reader has submitted for it.
    draft : Draft or None
        What this reader left of it, in a window that is closed now.
    elsewhere : bool
        Another window of this reader has it open.
    """

    wish: Wish
    is_free: bool
    amends: Correction | None = None
    draft: Draft | None = None
    elsewhere: bool = False


def ask(wish: Wish) -> Claim:
    """Claim a region, and find what this reader had painted on it before.

    A region that this reader has submitted is opened to be amended. InputError when a disk or the store refuses; then
    all is as it was.
    """
    journal, place = wish.project.journal, (wish.reader.login, wish.item.region.id)
    mine = _own_corrections(wish)
    # all that a disk can refuse comes before anything has changed
    draft = _draft(wish, mine)
    journal.enter(*place, wish.draft_id)
    is_free = False
    try:
        is_free = _change_hands(wish, claims=not mine)
    finally:
        if not is_free:
            journal.leave(*place, wish.draft_id)
    if not is_free:
        return Claim(wish, is_free=False)
    others = journal.open_drafts(*place) - {wish.draft_id, wish.leaving}
    return Claim(wish, True, mine[-1] if mine else None, _taken_over(wish, draft), bool(others))


def drop(claim: Claim) -> None:
    """Let go of what came too late to be shown."""
    wish = claim.wish
    if claim.is_free:
        place = (wish.reader.login, wish.item.region.id, wish.draft_id)
        if claim.amends is None:
            release_unless_open(wish.project, wish.reader, wish.item.region.id, wish.draft_id)
        wish.project.journal.leave(*place)


def why_not(project: Project, item: WorkItem, reader: Reader) -> str:
    """Say in one line why a region could not be had, or is not a reader's any more."""
    region, login = f"Region {item.region.number}", reader.login
    now, who, _ = project.store.standing(item.region.id)
    is_own = now.holder == login or (now.holder is None and who == login)
    match now.state:
        case State.SUBMITTED if is_own:
            return f"You have submitted region {item.region.number} in another window: open it again to amend that."
        case State.SUBMITTED | State.SETTLED:
            return f"{region} is done: somebody else has submitted it."
        case State.WITHDRAWN:
            return f"{region} is not to be read any more: a newer run has replaced it."
        case State.DECLINED if is_own:
            return f"You have declined region {item.region.number} in another window: it waits to be assigned anew."
        case State.DECLINED:
            return f"{region} waits to be assigned anew: {shortened(now.reason)}."
        case State.SKIPPED if is_own:
            return f"You have put off region {item.region.number} in another window."
        case State.CLAIMED if not is_own:
            return f"{region} is being read by somebody else."
    if now.reader == login or now.group in reader.groups:
        return f"{region} was with somebody else a moment ago and is free now: open it again."
    return f"{region} is not yours to read any more: it was assigned anew."


def why_lost(project: Project, item: WorkItem, reader: Reader) -> str:
    """Say in one line why a region that is open here is not its reader's any more, and what becomes of their paint."""
    people = {x.login: x for x in project.store.readers()}
    now, who, what = project.store.standing(item.region.id)
    if reader.login in people and not people[reader.login].active:
        return "You were deactivated in this project; what you painted is kept as a draft: ask an admin."
    is_theirs = now.reader == reader.login or now.group in reader.groups
    if now.state is State.OPEN and what == "release" and is_theirs and who:
        name = people[who].name if who in people else who
        lost = "You have released it in another window" if who == reader.login else f"{name} has released it"
        return f"Region {item.region.number}: {lost}. Submit still takes it. What you painted is kept."
    return f"{why_not(project, item, reader)} What you painted is kept."


def remark(claim: Claim, *, is_recovered: bool) -> str:
    """What a reader should know of a region that was opened; mostly empty."""
    lines = ["Your earlier work on this region is back."] if is_recovered else []
    if claim.elsewhere:
        number = claim.wish.item.region.number
        lines.append(f"Region {number} is open in another window of yours, too: submit it in one of them.")
    return " ".join(lines)


def release_unless_open(project: Project, reader: Reader, region_id: str, draft_id: str) -> None:
    """Give a region back, so that others of the group may take it, unless another window has it open."""
    if not project.journal.open_drafts(reader.login, region_id) - {draft_id}:
        project.store.release(region_id, reader.login)


def _own_corrections(wish: Wish) -> list[Correction]:
    if wish.item.assignment.state is not State.SUBMITTED:
        return []
    return [c for c in wish.project.store.history(wish.item.region.id) if c.reader == wish.reader.login]


def _change_hands(wish: Wish, *, claims: bool) -> bool:
    """Give back the region that is left and claim the next, each where that is due. False when the claim is lost."""
    store, taken, login = wish.project.store, wish.item.region.id, wish.reader.login
    given_back = wish.given_back
    if given_back is not None and wish.project.journal.open_drafts(login, given_back) - {wish.leaving}:
        given_back = None
    if claims and given_back is not None:
        return store.exchange(given_back, taken, login) is not None
    if given_back is not None:
        store.release(given_back, login)
    return not claims or store.claim(taken, login) is not None


def _draft(wish: Wish, mine: list[Correction]) -> Draft | None:
    """Find what this reader left of a region. What became a correction since is deleted, the rest stays."""
    journal, login, sent = wish.project.journal, wish.reader.login, {c.id for c in mine}
    for draft in journal.of_region(login, wish.item.region.id):
        is_older = bool(mine) and draft.supersedes != mine[-1].id and draft.saved <= mine[-1].submitted
        if draft.id in sent or (is_older and not draft.id):
            journal.discard(login, draft.region_id, draft.id)
        elif is_older or draft.voxel_hash != wish.case.voxel_hash:
            continue
        elif draft.id == wish.leaving or not journal.is_open(login, draft.region_id, draft.id):
            return draft
    return None


def _taken_over(wish: Wish, draft: Draft | None) -> Draft | None:
    """Keep a draft under the new id; the old one goes only when that is on the disk."""
    if draft is None:
        return None
    journal = wish.project.journal
    try:
        journal.save(replace(draft, id=wish.draft_id))
    except OSError:  # it stays where it is
        return draft
    journal.discard(wish.reader.login, draft.region_id, draft.id)
    return draft
