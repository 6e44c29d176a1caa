"""What every store promises. One contract suite runs over all of them (tests/store/test_contract*.py)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_deferredseg.core.records import (
        Assignment,
        CaseRecord,
        Correction,
        PredictionRecord,
        Reader,
        Region,
        WorkItem,
    )
    from napari_deferredseg.store.seal import Mark, Memory, ProjectKey, RecordCheck

LEASE = timedelta(minutes=30)

ReaderChange = Literal["edit", "absence", "deactivate", "activate"]


class Store(Protocol):
    """Readers, cases, regions, who holds them, and the corrections.

    Every method is one transaction: it happens whole or not at all. What the user got wrong raises `InputError` with
    one line; a lost race (somebody else was faster) is a return value, since it is nobody's fault. A login, region or
    case that does not exist is always an InputError. The case of a login does not matter. Times carry a time zone.

    Leases run by the store's own clock, which never goes back. A lease of no time or of more than a day is refused; one
    in the database that ends more than a day from now counts as run out. Where the clock seems to have leapt by more
    than a month since the last entry, when somebody was reading, others can claim nothing (InputError) until that
    reader goes on or a lead has taken those regions back; one's own regions are claimed and given back at any time.

    States of an assignment::

        open -> claimed -> submitted -> settled
        claimed -> open (released, or taken back by a lead); free to others once the lease ran out
        claimed | open -> skipped -> claimed
        open | claimed | skipped -> declined -> open (assigned anew)
        open | skipped | declined, claims past their lease -> withdrawn (a newer prediction took its place)
        any but settled -> submitted (work done counts, see `submit`)
        submitted -> submitted (amended by the same reader)
        submitted -> declined (its only standing correction was erased)
    """

    @property
    def reads_only(self) -> bool:
        """Whether nothing can be written: the database lies on read-only media. Every change is an InputError then."""

    # readers
    def add_reader(self, reader: Reader, by: str = "") -> None:
        """Add a reader; `by` is the login of who does it. InputError when the login (case does not matter) is taken."""

    def change_reader(self, login: str, what: ReaderChange, changes: Mapping[str, object], by: str = "") -> Reader:
        """Change some fields of a reader, never the login, and return what is kept now.

        The record calls it `what`. Regions that somebody reads who is deactivated are opened again. ValueError when
        the fields make no reader; InputError when nobody would be admin any more.
        """

    def readers(self) -> list[Reader]:
        """List all, by login."""

    def reader(self, login: str) -> Reader:
        """Find one by login or, failing that, by a display name that only one has.

        InputError names the known logins.
        """

    # cases
    def add_prediction(
        self,
        case: CaseRecord,
        prediction: PredictionRecord,
        regions: Sequence[Region],
        assignments: Sequence[Assignment],
    ) -> bool:
        """Add a run with its regions and one assignment for each region.

        The case is added where it is new; where it is known, its voxel hash and geometry must agree (InputError).
        Earlier predictions' regions of that case that nobody has submitted are withdrawn, drawn ones stay. The new
        regions are numbered after those that stay, in their order. InputError,
        and no change, when somebody holds one of them under a running lease, or a region is for nobody; NotAllowed,
        and no change, when one is for somebody who was deactivated. False, and no change, when this prediction id is
        known.
        """

    def cases(self) -> list[CaseRecord]:
        """List all, in the order they were added."""

    def case(self, key: str) -> CaseRecord:
        """Find one. InputError names the known keys."""

    def move_case(self, key: str, source: str, series: str) -> None:
        """Say where a case's image lies now. InputError when there is no such case."""

    def prediction(self, case_key: str) -> PredictionRecord:
        """Return the prediction of a case that was added last. InputError when there is none."""

    def predictions(self) -> list[PredictionRecord]:
        """List all, in the order they were added."""

    def runs_in_use(self) -> set[str]:
        """Ids of the predictions that are the newest of their case, or have regions that are listed or corrected."""

    # regions
    def add_region(self, region: Region, assignment: Assignment) -> Region:
        """Add a region that somebody drew on a prediction, and return it as it is kept.

        It is numbered after those that are there. InputError when its case does not have that prediction;
        NotAllowed when it is for somebody who was deactivated.
        """

    def region(self, region_id: str) -> Region:
        """Find one. InputError when there is none."""

    def items(self, *, case_key: str | None = None) -> list[WorkItem]:
        """Regions of the newest predictions and drawn ones with their assignments, withdrawn ones left out.

        Ordered by case, then region number.
        """

    def worklist(self, login: str) -> list[WorkItem]:
        """What this reader may work on now, in the order to do it.

        Assigned to them or one of their groups; open, skipped, or claimed by themselves, or claimed by somebody whose
        lease ran out. Skipped ones come last, otherwise ordered by case, then region number.
        """

    # who holds what
    def standing(self, region_id: str) -> tuple[Assignment, str | None, str]:
        """Assignment of a region as it is now, withdrawn or not; who changed it last, where known, and by what.

        The first is a login, the second what the record of events calls it, such as "release"; "" for nothing.
        InputError when there is no such region.
        """

    def assign(self, region_id: str, *, reader: str | None, group: str | None, by: str, note: str = "") -> Assignment:
        """Give a region to a reader or to a group that somebody is in.

        InputError when somebody is reading it, or when it is submitted, settled or withdrawn.
        """

    def claim(self, region_id: str, login: str, lease: timedelta = LEASE) -> Assignment | None:
        """Take a region, or extend one's own lease. Two callers never both get it.

        None when somebody else holds it, when it is not this reader's or their groups' any more, or when it is done.
        """

    def exchange(self, given_back: str, taken: str, login: str, lease: timedelta = LEASE) -> Assignment | None:
        """Give one region back and take another, as `release` and then `claim` do, in one transaction.

        The first is given back whether or not the second can be had: a reader who comes too late holds neither, and
        nobody waits for a region that nobody reads. After an InputError both are as they were.
        """

    def release(self, region_id: str, login: str) -> bool:
        """Give a claimed region back as open. False when this reader does not hold it."""

    def take_back(self, region_id: str, by: str, note: str = "") -> Assignment:
        """Open a region that somebody has claimed, whether or not the lease has run out.

        InputError when `by` is neither lead nor admin nor the one who holds it, or nobody holds the region.
        """

    def skip(self, region_id: str, login: str) -> bool:
        """Put off a region that is open to this reader or their groups, or held by them. False when it is neither."""

    def decline(self, region_id: str, login: str, reason: str) -> bool:
        """Refuse a region that is open to, put off by or held by this reader, else False.

        InputError when the reason is empty.
        """

    # corrections
    def submit(self, correction: Correction) -> Mark:
        """Keep a correction and mark its region submitted, in one transaction. Returns where the record stands then.

        Sending the same correction id again is harmless; with other labels, verdict or note it is an InputError. A late
        submission after the lease ran out counts as long as nobody else has claimed the region, even when it was
        given to others or withdrawn in between. InputError when the volume's hash is not the case's or the crop lies
        outside its grid, when somebody else holds or has submitted the region, when it is settled, when `supersedes`
        is not the newest correction of this reader on this region, or when it is missing though this reader has
        submitted the region before.
        """

    def corrections(self, *, case_key: str | None = None, reader: str | None = None) -> list[Correction]:
        """Corrections that no other supersedes, oldest first. Erased ones are left out."""

    def history(self, region_id: str) -> list[Correction]:
        """All corrections of a region, amended ones too, oldest first. Erased ones are left out."""

    def erase(self, correction_id: str, by: str, reason: str) -> None:
        """Delete a correction's name and payload at its author's wish. Its link in the hash chain stays.

        What it amended does not come back: a region without a standing correction waits, declined, to be assigned.
        InputError when there is no such correction, or no reason.
        """

    # the record
    def key_id(self) -> str | None:
        """Name of the key that seals the record. None: it has no key."""

    def origin(self) -> str:
        """Hash of what was taken over from an older version and of all since, apart from salts. Empty: nothing was."""

    def take_key(self, key: ProjectKey, project: str = "", *, found: bool = False) -> str:
        """Give a project without a key this one, which seals what is there; the name of the key it has is returned.

        `project` is its id, which the record keeps. `found` says that the key was there before, and names nothing yet.
        One from which somebody took the name out is given none.
        """

    def use_key(self, key: ProjectKey, memory: Memory | None = None) -> None:
        """Seal what is written from now on. A key of another name seals nothing; `check_record` says so.

        Nor is anything sealed where the record is not the one that the memory of the key holds.
        """

    def seal(self) -> Mark:
        """Seal what others wrote without the key, where it holds together. Every write does so too."""

    def mark(self) -> Mark:
        """Where the record stands. Whoever remembers it can tell whether a later one goes on from there."""

    def verify(self) -> list[str]:
        """Problems that `check_record` finds without any mark. Empty: all is well."""

    def check_record(self, marks: Sequence[Mark] = (), project: str = "") -> RecordCheck:
        """Check everything that is kept: the record of events, what it tells of, corrections, who holds what, the file.

        Each of the `marks` must be in the record, which must be that of `project` where it says whose it is.
        """

    def close(self) -> None:
        """Let go of the connections."""
